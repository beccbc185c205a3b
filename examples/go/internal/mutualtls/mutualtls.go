// Package mutualtls reads the settings that every Handfast program has (HOST, PORT, CA_FILE, CERT_FILE, KEY_FILE,
// CRL_DIR) and makes Go's TLS configurations of them.
package mutualtls

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Address is HOST:PORT; by default localhost:8443.
func Address() string {
	return net.JoinHostPort(setting("HOST", "localhost"), setting("PORT", "8443"))
}

// ClientConfig trusts CA_FILE alone and presents CERT_FILE, if there is one.
func ClientConfig() (*tls.Config, error) {
	roots, err := roots()
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: setting("HOST", "localhost")}
	if os.Getenv("CERT_FILE") != "" {
		// Read at each handshake, so that a renewed certificate is used from the next connection on. A
		// certificate in Certificates would not be sent at all to a server that names other CAs, and the
		// server could only say that there was none.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return identity() }
	}
	return config, nil
}

// ServerConfig asks every client for a certificate of CA_FILE that no list in CRL_DIR revokes.
func ServerConfig() (*tls.Config, error) {
	roots, err := roots()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:       tls.VersionTLS13,
		ClientCAs:        roots,
		ClientAuth:       tls.RequireAndVerifyClientCert,
		GetCertificate:   func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return identity() },
		VerifyConnection: notRevoked,
	}, nil
}

// Identity is the peer's SPIFFE id: the one URI of its certificate.
func Identity(state tls.ConnectionState) string {
	if len(state.PeerCertificates) == 0 || len(state.PeerCertificates[0].URIs) != 1 {
		return "nobody"
	}
	return state.PeerCertificates[0].URIs[0].String()
}

func identity() (*tls.Certificate, error) {
	certificate, err := tls.LoadX509KeyPair(os.Getenv("CERT_FILE"), os.Getenv("KEY_FILE"))
	return &certificate, err
}

func roots() (*x509.CertPool, error) {
	bundle, err := os.ReadFile(os.Getenv("CA_FILE"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bundle) {
		return nil, fmt.Errorf("CA_FILE %s holds no certificate", os.Getenv("CA_FILE"))
	}
	return pool, nil
}

// notRevoked looks the client's certificate up in the list of the CA that signed it. A list that is missing or
// past its time refuses: otherwise deleting the file would switch revocation off.
func notRevoked(state tls.ConnectionState) error {
	directory := os.Getenv("CRL_DIR")
	if directory == "" {
		return nil
	}
	chain := state.VerifiedChains[0]
	leaf, issuer := chain[0], chain[1]
	list, err := revocationList(directory, issuer)
	if err != nil {
		return err
	}
	for _, entry := range list.RevokedCertificateEntries {
		if entry.SerialNumber.Cmp(leaf.SerialNumber) == 0 {
			return errors.New("the certificate has been revoked")
		}
	}
	if time.Now().After(list.NextUpdate) {
		return fmt.Errorf("the revocation list of %s ended at %s", issuer.Subject, list.NextUpdate.Format(time.RFC3339))
	}
	return nil
}

func revocationList(directory string, issuer *x509.Certificate) (*x509.RevocationList, error) {
	files, err := filepath.Glob(filepath.Join(directory, "*"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if block, _ := pem.Decode(content); block != nil {
			content = block.Bytes
		}
		list, err := x509.ParseRevocationList(content)
		if err != nil || !bytes.Equal(list.AuthorityKeyId, issuer.SubjectKeyId) {
			continue
		}
		if err := list.CheckSignatureFrom(issuer); err != nil {
			return nil, err
		}
		return list, nil
	}
	return nil, fmt.Errorf("no revocation list of %s in %s", issuer.Subject, directory)
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
