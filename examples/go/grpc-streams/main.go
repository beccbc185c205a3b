// A grpc-go client that makes calls of all four shapes over mutual TLS, with messages of a mebibyte, and prints what
// came back. It needs a server of grpc.testing.TestService.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"handfast.example/go/internal/mutualtls"
)

const mebibyte = 1 << 20

func main() {
	if err := run(); err != nil {
		fmt.Printf("error: %s\n", err)
		os.Exit(1)
	}
}

func run() error {
	config, err := mutualtls.ClientConfig()
	if err != nil {
		return err
	}
	connection, err := grpc.NewClient(mutualtls.Address(), grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client := pb.NewTestServiceClient(connection)
	for _, shape := range []func(context.Context, pb.TestServiceClient) error{unary, serverStream, clientStream, duplex} {
		if err := shape(ctx, client); err != nil {
			return err
		}
	}
	return nil
}

func unary(ctx context.Context, client pb.TestServiceClient) error {
	answer, err := client.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: mebibyte, Payload: payload()})
	if err != nil {
		return err
	}
	fmt.Printf("unary: %d bytes\n", len(answer.Payload.Body))
	return nil
}

func serverStream(ctx context.Context, client pb.TestServiceClient) error {
	stream, err := client.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{ResponseParameters: sizes(3)})
	if err != nil {
		return err
	}
	messages, bytes, err := drain(stream.Recv)
	fmt.Printf("server stream: %d messages, %d bytes\n", messages, bytes)
	return err
}

func clientStream(ctx context.Context, client pb.TestServiceClient) error {
	stream, err := client.StreamingInputCall(ctx)
	if err != nil {
		return err
	}
	for range 3 {
		if err := stream.Send(&pb.StreamingInputCallRequest{Payload: payload()}); err != nil {
			return err
		}
	}
	answer, err := stream.CloseAndRecv()
	if err != nil {
		return err
	}
	fmt.Printf("client stream: %d bytes arrived\n", answer.AggregatedPayloadSize)
	return nil
}

func duplex(ctx context.Context, client pb.TestServiceClient) error {
	stream, err := client.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	for range 3 {
		request := &pb.StreamingOutputCallRequest{ResponseParameters: sizes(1), Payload: payload()}
		if err := stream.Send(request); err != nil {
			return err
		}
		if _, err := stream.Recv(); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	left, _, err := drain(stream.Recv)
	fmt.Printf("duplex: 3 messages in turn, %d more\n", left)
	return err
}

func drain(receive func() (*pb.StreamingOutputCallResponse, error)) (messages, bytes int, err error) {
	for {
		answer, err := receive()
		if errors.Is(err, io.EOF) {
			return messages, bytes, nil
		}
		if err != nil {
			return messages, bytes, err
		}
		messages++
		bytes += len(answer.Payload.Body)
	}
}

func payload() *pb.Payload { return &pb.Payload{Body: make([]byte, mebibyte)} }

func sizes(count int) []*pb.ResponseParameters {
	parameters := make([]*pb.ResponseParameters, count)
	for index := range parameters {
		parameters[index] = &pb.ResponseParameters{Size: mebibyte}
	}
	return parameters
}
