// A grpc-go client over mutual TLS: asks a server for its health, and prints what it was told.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"handfast.example/go/internal/mutualtls"
)

func main() {
	answer, err := check()
	if err != nil {
		fmt.Printf("error: %s: %s\n", status.Code(err), status.Convert(err).Message())
		os.Exit(1)
	}
	fmt.Printf("ok: %s\n", answer.Status)
}

func check() (*health.HealthCheckResponse, error) {
	config, err := mutualtls.ClientConfig()
	if err != nil {
		return nil, err
	}
	connection, err := grpc.NewClient(mutualtls.Address(), grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return health.NewHealthClient(connection).Check(ctx, &health.HealthCheckRequest{})
}
