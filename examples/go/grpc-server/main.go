// A grpc-go server over mutual TLS: serves its health, and prints who called and whom it refused.
package main

import (
	"context"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"handfast.example/go/internal/mutualtls"
)

func main() {
	config, err := mutualtls.ServerConfig()
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", mutualtls.Address())
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(
		grpc.Creds(reportingCredentials{credentials.NewTLS(config)}),
		grpc.UnaryInterceptor(reportCaller),
	)
	healthpb.RegisterHealthServer(server, health.NewServer())
	fmt.Printf("listening: %s\n", listener.Addr())
	log.Fatal(server.Serve(listener))
}

func reportCaller(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if caller, ok := peer.FromContext(ctx); ok {
		if info, ok := caller.AuthInfo.(credentials.TLSInfo); ok {
			fmt.Printf("accepted: %s\n", mutualtls.Identity(info.State))
		}
	}
	return handler(ctx, request)
}

// reportingCredentials says why a handshake failed: grpc-go by itself tells only its own debug log.
type reportingCredentials struct {
	credentials.TransportCredentials
}

func (c reportingCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	connection, info, err := c.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		fmt.Printf("refused: %s\n", err)
	}
	return connection, info, err
}

func (c reportingCredentials) Clone() credentials.TransportCredentials {
	return reportingCredentials{c.TransportCredentials.Clone()}
}
