package llmproxy_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy"
	llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"
)

// keyed answers with the key that arrived as the response's id.
var keyed = &fake{chat: func(ctx context.Context, _ *llmproxyv1.ChatRequest) (*llmproxyv1.ChatResponse, error) {
	sent := metadata.ValueFromIncomingContext(ctx, "authorization")
	return &llmproxyv1.ChatResponse{Id: strings.Join(sent, ",")}, nil
}}

func TestAnAnswerLargerThanTheDefaultOfGRPCIsReceived(t *testing.T) {
	proxy := &fake{chat: func(context.Context, *llmproxyv1.ChatRequest) (*llmproxyv1.ChatResponse, error) {
		return &llmproxyv1.ChatResponse{Id: strings.Repeat("x", 5<<20)}, nil
	}}
	response, err := connect(t, proxy, "host", nil).Chat(t.Context(), llmproxy.Ask("m", "hi"))
	if err != nil || len(response.GetId()) != 5<<20 {
		t.Fatalf("got %d bytes and %v", len(response.GetId()), err)
	}
}

func TestChatIsTriedThreeTimesWhileTheProxyIsUnavailable(t *testing.T) {
	attempts := chatAttempts(t, status.Error(codes.Unavailable, "draining"), "")
	if attempts != 3 {
		t.Fatalf("%d attempts", attempts)
	}
}

func TestAPushbackOfMinusOneStopsTheRetries(t *testing.T) {
	attempts := chatAttempts(t, status.Error(codes.Unavailable, "upstream"), "-1")
	if attempts != 1 {
		t.Fatalf("%d attempts", attempts)
	}
}

func TestOnlyUnavailableIsRetried(t *testing.T) {
	attempts := chatAttempts(t, status.Error(codes.ResourceExhausted, "quota"), "")
	if attempts != 1 {
		t.Fatalf("%d attempts", attempts)
	}
}

func chatAttempts(t *testing.T, failure error, pushback string) int32 {
	t.Helper()
	var attempts atomic.Int32
	proxy := &fake{chat: func(ctx context.Context, _ *llmproxyv1.ChatRequest) (*llmproxyv1.ChatResponse, error) {
		attempts.Add(1)
		if pushback != "" {
			grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", pushback))
		}
		return nil, failure
	}}
	_, err := connect(t, proxy, "host", nil).Chat(t.Context(), llmproxy.Ask("m", "hi"))
	if status.Code(err) != status.Code(failure) {
		t.Fatal(err)
	}
	return attempts.Load()
}

func TestAStreamThatBrokeAfterItsFirstEventIsNotRetried(t *testing.T) {
	var attempts atomic.Int32
	proxy := &fake{stream: func(_ *llmproxyv1.StreamRequest, s grpc.ServerStreamingServer[llmproxyv1.StreamResponse]) error {
		attempts.Add(1)
		if err := s.Send(start()); err != nil {
			return err
		}
		return status.Error(codes.Unavailable, "broken")
	}}
	_, err := llmproxy.Stream(t.Context(), connect(t, proxy, "host", nil), &llmproxyv1.StreamRequest{}).Collect()
	if status.Code(err) != codes.Unavailable || attempts.Load() != 1 {
		t.Fatalf("%v after %d attempts", err, attempts.Load())
	}
}

func TestAKeyStaysOnThisHostWithoutTLS(t *testing.T) {
	for host, sent := range map[string]bool{
		"localhost": true, "127.0.0.1:50051": true, "[::1]:50051": true,
		"proxy.example:50051": false, "10.0.0.5:50051": false, "localhost.example": false,
	} {
		t.Run(host, func(t *testing.T) {
			client := connect(t, keyed, host, nil, llmproxy.WithAPIKey("test-key"))
			response, err := client.Chat(t.Context(), llmproxy.Ask("m", "hi"))
			if sent && response.GetId() != "Bearer test-key" {
				t.Fatalf("got %q and %v", response.GetId(), err)
			}
			if !sent && status.Code(err) != codes.Unauthenticated {
				t.Fatalf("sent all the same: %q and %v", response.GetId(), err)
			}
		})
	}
}

func TestAKeyGoesThroughAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "proxy.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, keyed, listener)
	client := dial(t, "unix:"+path, llmproxy.WithAPIKey("test-key"))
	response, err := client.Chat(t.Context(), llmproxy.Ask("m", "hi"))
	if err != nil || response.GetId() != "Bearer test-key" {
		t.Fatalf("got %q and %v", response.GetId(), err)
	}
}

func TestAKeyGoesAnywhereOverTLS(t *testing.T) {
	certified := httptest.NewTLSServer(nil) // for its certificate of example.com alone
	defer certified.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(certified.Certificate())
	server := grpc.Creds(credentials.NewServerTLSFromCert(&certified.TLS.Certificates[0]))
	client := connect(t, keyed, "example.com", []grpc.ServerOption{server},
		llmproxy.WithTLS(&tls.Config{RootCAs: trusted}), llmproxy.WithAPIKey("test-key"))
	response, err := client.Chat(t.Context(), llmproxy.Ask("m", "hi"))
	if err != nil || response.GetId() != "Bearer test-key" {
		t.Fatalf("got %q and %v", response.GetId(), err)
	}
}

func TestACertificateThatNobodyTrustsIsRefused(t *testing.T) {
	certified := httptest.NewTLSServer(nil)
	defer certified.Close()
	server := grpc.Creds(credentials.NewServerTLSFromCert(&certified.TLS.Certificates[0]))
	client := connect(t, keyed, "example.com", []grpc.ServerOption{server}, llmproxy.WithTLS(nil))
	_, err := client.Chat(t.Context(), llmproxy.Ask("m", "hi"))
	if status.Code(err) != codes.Unavailable {
		t.Fatal(err)
	}
}
