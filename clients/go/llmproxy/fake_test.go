package llmproxy_test

import (
	"context"
	"io"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy"
	llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"
)

// fake is a proxy that answers as a test says.
type fake struct {
	llmproxyv1.UnimplementedLlmProxyServiceServer
	chat   func(context.Context, *llmproxyv1.ChatRequest) (*llmproxyv1.ChatResponse, error)
	stream func(*llmproxyv1.StreamRequest, grpc.ServerStreamingServer[llmproxyv1.StreamResponse]) error
	embed  func(context.Context, *llmproxyv1.EmbedRequest) (*llmproxyv1.EmbedResponse, error)
	count  func(context.Context, *llmproxyv1.CountTokensRequest) (*llmproxyv1.CountTokensResponse, error)
}

func (f *fake) Chat(ctx context.Context, request *llmproxyv1.ChatRequest) (*llmproxyv1.ChatResponse, error) {
	return f.chat(ctx, request)
}

func (f *fake) Stream(
	request *llmproxyv1.StreamRequest, stream grpc.ServerStreamingServer[llmproxyv1.StreamResponse],
) error {
	return f.stream(request, stream)
}

func (f *fake) Embed(ctx context.Context, request *llmproxyv1.EmbedRequest) (*llmproxyv1.EmbedResponse, error) {
	return f.embed(ctx, request)
}

func (f *fake) CountTokens(
	ctx context.Context, request *llmproxyv1.CountTokensRequest,
) (*llmproxyv1.CountTokensResponse, error) {
	return f.count(ctx, request)
}

// connect serves the fake in memory, under the name of any host, and gives a client of it.
func connect(
	t *testing.T, proxy *fake, host string, server []grpc.ServerOption, options ...grpc.DialOption,
) llmproxyv1.LlmProxyServiceClient {
	t.Helper()
	pipe := bufconn.Listen(1 << 20)
	serve(t, proxy, pipe, server...)
	dialer := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) })
	return dial(t, "passthrough:///"+host, append(options, dialer)...)
}

func serve(t *testing.T, proxy *fake, listener net.Listener, options ...grpc.ServerOption) {
	t.Helper()
	server := grpc.NewServer(options...)
	llmproxyv1.RegisterLlmProxyServiceServer(server, proxy)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
}

func dial(t *testing.T, target string, options ...grpc.DialOption) llmproxyv1.LlmProxyServiceClient {
	t.Helper()
	conn, err := llmproxy.Dial(target, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return llmproxyv1.NewLlmProxyServiceClient(conn)
}

// script is a stream that was already received: its events, then its error.
type script struct {
	events []*llmproxyv1.StreamResponse
	err    error
}

func (s *script) Recv() (*llmproxyv1.StreamResponse, error) {
	if len(s.events) == 0 {
		return nil, s.err
	}
	event := s.events[0]
	s.events = s.events[1:]
	return event, nil
}

// scripted numbers the events and ends them without an error.
func scripted(events ...*llmproxyv1.StreamResponse) *script {
	for number, event := range events {
		event.Sequence = int32(number)
	}
	return &script{events: events, err: io.EOF}
}

func start() *llmproxyv1.StreamResponse {
	return &llmproxyv1.StreamResponse{Event: &llmproxyv1.StreamResponse_Start{
		Start: &llmproxyv1.StreamStart{Id: "record-1", Model: "assistant"},
	}}
}

func delta(delta *llmproxyv1.ContentDelta) *llmproxyv1.StreamResponse {
	return &llmproxyv1.StreamResponse{Event: &llmproxyv1.StreamResponse_Delta{Delta: delta}}
}

func text(words string) *llmproxyv1.StreamResponse {
	return delta(&llmproxyv1.ContentDelta{Delta: &llmproxyv1.ContentDelta_Text{Text: words}})
}

func finish(candidate int32) *llmproxyv1.StreamResponse {
	return &llmproxyv1.StreamResponse{Event: &llmproxyv1.StreamResponse_Finish{Finish: &llmproxyv1.CandidateFinish{
		CandidateIndex: candidate, FinishReason: llmproxyv1.FinishReason_FINISH_REASON_STOP, RawFinishReason: "stop",
	}}}
}

func end() *llmproxyv1.StreamResponse {
	return &llmproxyv1.StreamResponse{Event: &llmproxyv1.StreamResponse_End{End: &llmproxyv1.StreamEnd{
		Usage: &llmproxyv1.Usage{TotalTokens: 7}, Route: &llmproxyv1.Route{Provider: "echo"},
	}}}
}
