package llmproxy_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy"
	llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"
)

// The tests of this file ask a real server, which must know the model echo/echo.
const (
	targetVariable = "LLMPROXY_TEST_TARGET"
	model          = "echo/echo"
)

func TestServerAnswersAChat(t *testing.T) {
	response, err := server(t).Chat(t.Context(), llmproxy.Ask(model, "Good morning to you"))
	if err != nil {
		t.Fatal(err)
	}
	checkAnswer(t, response, "Good morning to you")
}

func TestServerStreamsToTheEnd(t *testing.T) {
	request := &llmproxyv1.StreamRequest{Chat: llmproxy.Ask(model, "Good morning to you")}
	answer, err := llmproxy.Stream(t.Context(), server(t), request).Collect()
	if err != nil {
		t.Fatal(err)
	}
	checkAnswer(t, answer, "Good morning to you")
}

func TestServerGivesTheSameAnswerInTheEndEvent(t *testing.T) {
	client := server(t)
	request := &llmproxyv1.StreamRequest{
		Chat:    llmproxy.Ask(model, "Good morning to you"),
		Options: &llmproxyv1.StreamOptions{IncludeFinalResponse: true},
	}
	answer, err := llmproxy.Stream(t.Context(), client, request).Collect()
	if err != nil {
		t.Fatal(err)
	}
	checkAnswer(t, answer, "Good morning to you")
}

func TestServerMakesTheSameVectorOfTheSameWords(t *testing.T) {
	response, err := server(t).Embed(t.Context(), llmproxy.Inputs(model, "good morning", "morning  good", "good night"))
	if err != nil {
		t.Fatal(err)
	}
	vectors := llmproxy.Vectors(response)
	if len(vectors) != 3 || !slices.Equal(vectors[0], vectors[1]) || slices.Equal(vectors[0], vectors[2]) {
		t.Errorf("the vectors are %v", vectors)
	}
	if response.GetUsage().GetInputTokens() != 6 || response.GetRoute().GetProvider() != "echo" {
		t.Errorf("usage, route: %v", response)
	}
}

func TestServerCountsAConversation(t *testing.T) {
	response, err := server(t).CountTokens(t.Context(), llmproxy.Count(llmproxy.Ask(model, "Good morning to you")))
	if err != nil || response.GetInputTokens() != 4 {
		t.Fatalf("%v %v", response, err)
	}
}

func TestServerListsItsModels(t *testing.T) {
	response, err := server(t).ListModels(t.Context(), &llmproxyv1.ListModelsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	named := func(listed *llmproxyv1.Model) bool { return listed.GetId() == model }
	if !slices.ContainsFunc(response.GetModels(), named) {
		t.Fatalf("no %s among %v", model, response.GetModels())
	}
}

func TestServerIsHealthy(t *testing.T) {
	conn, err := llmproxy.Dial(target(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, service := range []string{"", "llmproxy.v1.LlmProxyService", "liveness", "provider/echo"} {
		request := &grpc_health_v1.HealthCheckRequest{Service: service}
		response, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), request)
		if err != nil || response.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v %v", service, response.GetStatus(), err)
		}
	}
}

func TestServerForgetsAStreamThatIsLeft(t *testing.T) {
	client := server(t)
	for text, err := range llmproxy.Stream(t.Context(), client, tooMuch()).Text() {
		if err != nil || text == "" {
			t.Fatalf("got %q and %v", text, err)
		}
		if streamsInFlight(t, client) == 0 {
			t.Fatal("the stream ended before it was left")
		}
		break
	}
	deadline := time.Now().Add(5 * time.Second)
	for streamsInFlight(t, client) != 0 {
		if time.Now().After(deadline) {
			t.Fatal("the stream goes on")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestServerKeepsToADeadline(t *testing.T) {
	client := server(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var failure error
	for _, err := range llmproxy.Stream(ctx, client, tooMuch()) {
		failure = err
		<-ctx.Done() // flow control holds the rest back, while nobody reads
	}
	if status.Code(failure) != codes.DeadlineExceeded {
		t.Fatal(failure)
	}
}

func TestServerSaysThatAModelIsUnknown(t *testing.T) {
	request := &llmproxyv1.StreamRequest{Chat: llmproxy.Ask("no-such-model", "hi")}
	_, unary := server(t).Chat(t.Context(), request.GetChat())
	_, streamed := llmproxy.Stream(t.Context(), server(t), request).Collect()
	for method, err := range map[string]error{"Chat": unary, "Stream": streamed} {
		story := llmproxy.Details(err)
		if story == nil || story.Code != codes.NotFound || story.Reason != "MODEL_NOT_FOUND" {
			t.Errorf("%s: %v", method, err)
			continue
		}
		if story.Detail.GetReason() != llmproxyv1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND || story.Detail.GetRequestId() == "" {
			t.Errorf("%s: %v", method, story.Detail)
		}
	}
}

func TestServerNamesEveryWrongField(t *testing.T) {
	temperature := -1.0
	request := llmproxy.Ask("", "hi")
	request.Messages = append(request.Messages, &llmproxyv1.Message{Role: llmproxyv1.Role_ROLE_USER})
	request.Generation = &llmproxyv1.GenerationConfig{Temperature: &temperature}
	_, err := server(t).Chat(t.Context(), request)
	story := llmproxy.Details(err)
	if story == nil || story.Code != codes.InvalidArgument || story.Reason != "INVALID_REQUEST" {
		t.Fatal(err)
	}
	for _, path := range []string{"model", "messages[1].parts", "generation.temperature"} {
		named := func(violation *errdetails.BadRequest_FieldViolation) bool { return violation.GetField() == path }
		if !slices.ContainsFunc(story.Violations, named) {
			t.Errorf("%s is not among %v", path, story.Violations)
		}
	}
}

func TestServerSurvives200StreamsBackToBackOnOneChannel(t *testing.T) {
	client := server(t)
	for number := range 200 {
		prompt := fmt.Sprintf("this is stream number %d", number)
		answer, err := llmproxy.Stream(t.Context(), client, &llmproxyv1.StreamRequest{Chat: llmproxy.Ask(model, prompt)}).Collect()
		if err != nil {
			t.Fatalf("stream %d: %v", number, err)
		}
		if got := answer.GetCandidates()[0].GetMessage().GetParts()[0].GetText(); got != prompt {
			t.Fatalf("stream %d says %q", number, got)
		}
	}
}

// server gives a client of the server under test.
func server(t *testing.T) llmproxyv1.LlmProxyServiceClient {
	t.Helper()
	return dial(t, target(t))
}

// target gives the address of the server under test; without one the test is skipped.
func target(t *testing.T) string {
	t.Helper()
	address := os.Getenv(targetVariable)
	if address == "" {
		t.Skipf("no server: set %s to the address of one that knows %s", targetVariable, model)
	}
	return address
}

func checkAnswer(t *testing.T, answer *llmproxyv1.ChatResponse, prompt string) {
	t.Helper()
	if len(answer.GetCandidates()) != 1 {
		t.Fatalf("%d candidates", len(answer.GetCandidates()))
	}
	candidate := answer.GetCandidates()[0]
	if got := candidate.GetMessage().GetParts()[0].GetText(); got != prompt {
		t.Errorf("the answer is %q", got)
	}
	if candidate.GetFinishReason() != llmproxyv1.FinishReason_FINISH_REASON_STOP {
		t.Errorf("finished by %v", candidate.GetFinishReason())
	}
	if answer.GetId() == "" || answer.GetModel() != model || answer.GetRoute().GetProvider() != "echo" {
		t.Errorf("id, model, route: %v", answer)
	}
	words := int32(len(strings.Fields(prompt)))
	if usage := answer.GetUsage(); usage.GetOutputTokens() != words || usage.GetSource() != llmproxyv1.UsageSource_USAGE_SOURCE_ESTIMATE {
		t.Errorf("usage: %v", usage)
	}
}

// tooMuch asks for an answer that does not fit into what gRPC buffers for a caller who does not read.
func tooMuch() *llmproxyv1.StreamRequest {
	return &llmproxyv1.StreamRequest{Chat: llmproxy.Ask(model, strings.Repeat("wordwordword ", 100_000))}
}

func streamsInFlight(t *testing.T, client llmproxyv1.LlmProxyServiceClient) int32 {
	t.Helper()
	response, err := client.Health(t.Context(), &llmproxyv1.HealthRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return response.GetLoad().GetActiveStreams()
}
