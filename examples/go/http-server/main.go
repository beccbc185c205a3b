// A net/http server over mutual TLS: greets its callers by name, and prints who called and whom it refused.
package main

import (
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"handfast.example/go/internal/mutualtls"
)

func main() {
	config, err := mutualtls.ServerConfig()
	if err != nil {
		log.Fatal(err)
	}
	config.NextProtos = []string{"h2", "http/1.1"}
	listener, err := net.Listen("tcp", mutualtls.Address())
	if err != nil {
		log.Fatal(err)
	}
	server := http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(os.Stdout, "refused: ", 0),
		Handler: http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
			caller := mutualtls.Identity(*request.TLS)
			fmt.Printf("accepted: %s\n", caller)
			fmt.Fprintf(writer, "hello %s\n", caller)
		}),
	}
	fmt.Printf("listening: %s\n", listener.Addr())
	log.Fatal(server.Serve(tls.NewListener(listener, config)))
}
