// Package llmproxy is a thin helper over the generated stubs of llmproxy-grpc: a channel with the recommended
// options, streams that are checked and always cancelled, and errors in full.
//
// Everything also works with the bare stubs of package llmproxyv1 and an ordinary gRPC channel.
package llmproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// MaxReceiveBytes is the largest message that a channel of Dial accepts; gRPC's own limit of 4 MiB is too small for
// answers with images.
const MaxReceiveBytes = 32 << 20

// ServiceConfig holds the recommended retries: of UNAVAILABLE alone, only before the first message, and fewer where a
// call costs money. The server stops them by pushback where a repeat is of no use. Export is resumed, not retried.
const ServiceConfig = `{
  "methodConfig": [
    {
      "name": [
        {"service": "llmproxy.v1.LlmProxyService", "method": "Chat"},
        {"service": "llmproxy.v1.LlmProxyService", "method": "Stream"},
        {"service": "llmproxy.v1.LlmProxyService", "method": "Embed"}
      ],
      "retryPolicy": {
        "maxAttempts": 3, "initialBackoff": "0.2s", "maxBackoff": "2s", "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"]
      }
    },
    {
      "name": [
        {"service": "llmproxy.v1.LlmProxyService", "method": "ListModels"},
        {"service": "llmproxy.v1.LlmProxyService", "method": "GetModel"},
        {"service": "llmproxy.v1.LlmProxyService", "method": "Health"},
        {"service": "llmproxy.v1.LlmProxyService", "method": "CountTokens"}
      ],
      "retryPolicy": {
        "maxAttempts": 5, "initialBackoff": "0.2s", "maxBackoff": "2s", "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"]
      }
    }
  ],
  "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1}
}`

// keepaliveParameters find a dead connection within 40 seconds while a call waits for an answer.
var keepaliveParameters = keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}

// Dial makes a channel to HOST:PORT or unix:PATH with the recommended options; later options win. It is plaintext
// unless [WithTLS] is given.
//
// It connects with the first call, so an unreachable server shows there. To wait for a server that is still starting,
// pass [grpc.WaitForReady] to that call. The caller closes the channel.
func Dial(target string, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	recommended := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(ServiceConfig),
		grpc.WithKeepaliveParams(keepaliveParameters),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxReceiveBytes)),
	}
	return grpc.NewClient(target, append(recommended, options...)...)
}

// WithTLS encrypts the channel. A nil configuration trusts the system's authorities; for mTLS set Certificates.
func WithTLS(config *tls.Config) grpc.DialOption {
	return grpc.WithTransportCredentials(credentials.NewTLS(config))
}

// WithAPIKey sends a caller's key with every call. Without TLS the key does not leave this host: a call to another one
// fails with UNAUTHENTICATED before anything is sent. Where something else encrypts, as in a service mesh, put the
// authorization metadata into the call's context instead.
func WithAPIKey(key string) grpc.DialOption {
	return grpc.WithPerRPCCredentials(apiKey(key))
}

type apiKey string

// GetRequestMetadata implements [credentials.PerRPCCredentials].
func (key apiKey) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	info, _ := credentials.RequestInfoFromContext(ctx)
	if credentials.CheckSecurityLevel(info.AuthInfo, credentials.PrivacyAndIntegrity) != nil && !loopback(uri) {
		return nil, errors.New("an API key does not travel to another host without TLS: use WithTLS")
	}
	return map[string]string{"authorization": "Bearer " + string(key)}, nil
}

// RequireTransportSecurity implements [credentials.PerRPCCredentials]: plaintext is fine on this host.
func (apiKey) RequireTransportSecurity() bool {
	return false
}

// loopback tells whether the call stays on this host; gRPC calls the peer of a unix socket localhost.
func loopback(uris []string) bool {
	if len(uris) == 0 {
		return false
	}
	parsed, err := url.Parse(uris[0])
	if err != nil {
		return false
	}
	host := parsed.Hostname()
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
