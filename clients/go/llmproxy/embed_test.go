package llmproxy_test

import (
	"context"
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy"
	llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"
)

func TestTextsBecomeVectorsInTheirOrder(t *testing.T) {
	var asked *llmproxyv1.EmbedRequest
	proxy := &fake{embed: func(_ context.Context, request *llmproxyv1.EmbedRequest) (*llmproxyv1.EmbedResponse, error) {
		asked = request
		return &llmproxyv1.EmbedResponse{Embeddings: []*llmproxyv1.Embedding{{Values: []float32{0.25, 1}}, {Values: []float32{2}}}}, nil
	}}
	response, err := connect(t, proxy, "localhost", nil).Embed(t.Context(), llmproxy.Inputs("m", "one", "two"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := llmproxy.Vectors(response), [][]float32{{0.25, 1}, {2}}; !reflect.DeepEqual(got, want) {
		t.Errorf("the vectors are %v", got)
	}
	if asked.GetModel() != "m" || len(asked.GetInputs()) != 2 || asked.GetInputs()[1].GetText() != "two" {
		t.Errorf("asked %v", asked)
	}
}

func TestNoAnswerHasNoVectors(t *testing.T) {
	if vectors := llmproxy.Vectors(nil); len(vectors) != 0 {
		t.Errorf("got %v", vectors)
	}
}

func TestAConversationIsCounted(t *testing.T) {
	chat := llmproxy.Ask("m", "Why?")
	counted := &llmproxyv1.CountTokensResponse{InputTokens: 37, Source: llmproxyv1.UsageSource_USAGE_SOURCE_PROVIDER}
	proxy := &fake{count: func(_ context.Context, request *llmproxyv1.CountTokensRequest) (*llmproxyv1.CountTokensResponse, error) {
		if !proto.Equal(request.GetChat(), chat) {
			t.Errorf("asked %v", request)
		}
		return counted, nil
	}}
	response, err := connect(t, proxy, "localhost", nil).CountTokens(t.Context(), llmproxy.Count(chat))
	if err != nil || !proto.Equal(response, counted) {
		t.Fatalf("%v %v", response, err)
	}
}
