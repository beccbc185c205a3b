// A net/http client over mutual TLS: asks a server for its front page, and prints what it was told.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"handfast.example/go/internal/mutualtls"
)

func main() {
	config, err := mutualtls.ClientConfig()
	if err != nil {
		fail(err)
	}
	client := http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true},
	}
	response, err := client.Get("https://" + mutualtls.Address() + "/")
	if err != nil {
		fail(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		fail(err)
	}
	text := strings.TrimSpace(string(body))
	if response.StatusCode != http.StatusOK {
		fail(fmt.Errorf("%d %s", response.StatusCode, text))
	}
	fmt.Printf("ok: %d %s\n", response.StatusCode, text)
}

func fail(err error) {
	fmt.Printf("error: %s\n", err)
	os.Exit(1)
}
