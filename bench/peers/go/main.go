// The Go side of the benchmarks: an echo server on grpc-go, and the load that every server is put under.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sort"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	unaryMethod  = "/bench.v1.Echo/Unary"
	streamMethod = "/bench.v1.Echo/Stream"
	largest      = 8 << 20
)

func main() {
	mode := flag.String("mode", "serve", "serve or load")
	certFile := flag.String("cert", "", "certificate, also the trust anchor")
	keyFile := flag.String("key", "", "private key")
	target := flag.String("target", "", "load: host:port")
	connections := flag.Int("connections", 1, "load: connections")
	inFlight := flag.Int("in-flight", 1, "load: calls in flight on each connection")
	size := flag.Int("size", 16, "load: octets of a message")
	milliseconds := flag.Int("milliseconds", 1000, "load: how long")
	fields := flag.Bool("metadata", false, "load: a deadline and two metadata entries")
	clientCA := flag.String("client-ca", "", "serve: whose clients are required to show certificates; empty asks for none")
	clientCert := flag.String("client-cert", "", "load: certificate to show, if any")
	clientKey := flag.String("client-key", "", "load: its private key")
	deadline := flag.Bool("deadline", false, "load: a deadline")
	wait := flag.Bool("wait", false, "load: say \"ready\" once connected, and begin when a line is read")
	streaming := flag.Bool("streaming", false, "load: messages on one stream per call slot")
	flag.Parse()
	if *mode == "serve" {
		serve(*certFile, *keyFile, *clientCA)
		return
	}
	load(plan{
		target: *target, certFile: *certFile, connections: *connections, inFlight: *inFlight,
		size: *size, duration: time.Duration(*milliseconds) * time.Millisecond,
		metadata: *fields, streaming: *streaming, deadline: *deadline, wait: *wait,
		clientCert: *clientCert, clientKey: *clientKey,
	})
}

func serve(certFile, keyFile, clientCA string) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	must(err)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	if clientCA != "" {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs = anchors(clientCA)
	}
	server := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(config)),
		grpc.MaxRecvMsgSize(largest), grpc.MaxConcurrentStreams(1000))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "bench.v1.Echo",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: unary}},
		Streams:     []grpc.StreamDesc{{StreamName: "Stream", Handler: stream, ClientStreams: true, ServerStreams: true}},
	}, struct{}{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	must(server.Serve(listener))
}

func unary(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	message := new(wrapperspb.BytesValue)
	if err := decode(message); err != nil {
		return nil, err
	}
	return wrapperspb.Bytes(message.Value), nil
}

func stream(_ any, stream grpc.ServerStream) error {
	for {
		message := new(wrapperspb.BytesValue)
		if err := stream.RecvMsg(message); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.SendMsg(message); err != nil {
			return err
		}
	}
}

type plan struct {
	target, certFile            string
	clientCert, clientKey       string
	connections, inFlight, size int
	duration                    time.Duration
	metadata, streaming         bool
	deadline, wait              bool
}

func load(plan plan) {
	config := &tls.Config{RootCAs: anchors(plan.certFile), ServerName: "localhost", MinVersion: tls.VersionTLS13}
	if plan.clientCert != "" {
		pair, err := tls.LoadX509KeyPair(plan.clientCert, plan.clientKey)
		must(err)
		config.Certificates = []tls.Certificate{pair}
	}
	var err error
	channels := make([]*grpc.ClientConn, plan.connections)
	for index := range channels {
		channels[index], err = grpc.NewClient(plan.target,
			grpc.WithTransportCredentials(credentials.NewTLS(config)),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(largest), grpc.MaxCallSendMsgSize(largest)))
		must(err)
		// The handshake is not measured.
		must(channels[index].Invoke(context.Background(), unaryMethod, wrapperspb.Bytes(nil), new(wrapperspb.BytesValue)))
	}
	if plan.wait {
		fmt.Println("ready")
		_, err = bufio.NewReader(os.Stdin).ReadString('\n')
		must(err)
	}
	var lock sync.Mutex
	var latencies []int64
	var group sync.WaitGroup
	before := processorTime()
	start := time.Now()
	end := start.Add(plan.duration)
	for _, channel := range channels {
		for range plan.inFlight {
			group.Add(1)
			go func() {
				defer group.Done()
				own := repeat(channel, plan, end)
				lock.Lock()
				latencies = append(latencies, own...)
				lock.Unlock()
			}()
		}
	}
	group.Wait()
	elapsed := time.Since(start)
	used := processorTime() - before
	sort.Slice(latencies, func(a, b int) bool { return latencies[a] < latencies[b] })
	must(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"calls":      len(latencies),
		"seconds":    elapsed.Seconds(),
		"p50Micros":  latencies[len(latencies)/2] / 1000,
		"p99Micros":  latencies[len(latencies)*99/100] / 1000,
		"cpuSeconds": used.Seconds(),
	}))
}

func repeat(channel *grpc.ClientConn, plan plan, end time.Time) []int64 {
	message := wrapperspb.Bytes(make([]byte, plan.size))
	answer := new(wrapperspb.BytesValue)
	latencies := make([]int64, 0, 100000)
	call := func() {
		ctx, cancel := context.Background(), context.CancelFunc(func() {})
		if plan.metadata || plan.deadline {
			ctx, cancel = context.WithTimeout(ctx, 30*time.Second)
		}
		if plan.metadata {
			ctx = metadata.AppendToOutgoingContext(ctx, "x-tenant", "acme", "x-request", fmt.Sprint(time.Now().UnixNano()))
		}
		must(channel.Invoke(ctx, unaryMethod, message, answer))
		cancel()
	}
	if plan.streaming {
		open, err := channel.NewStream(context.Background(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, streamMethod)
		must(err)
		call = func() {
			must(open.SendMsg(message))
			must(open.RecvMsg(answer))
		}
	}
	for time.Now().Before(end) {
		start := time.Now()
		call()
		latencies = append(latencies, time.Since(start).Nanoseconds())
	}
	if len(answer.Value) != plan.size {
		log.Fatalf("answer of %d octets", len(answer.Value))
	}
	return latencies
}

func anchors(file string) *x509.CertPool {
	anchor, err := os.ReadFile(file)
	must(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(anchor)
	return pool
}

func processorTime() time.Duration {
	var usage syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
