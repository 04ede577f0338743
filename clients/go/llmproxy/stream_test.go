package llmproxy_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy"
	llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"
)

func TestTextComesAsItArrives(t *testing.T) {
	other := text("other")
	other.GetDelta().CandidateIndex = 1
	stream := scripted(start(), text("Hello"), heartbeat(), other, text(" there"), finish(0), finish(1), end())
	words, err := read(llmproxy.Read(stream))
	if err != nil || !slices.Equal(words, []string{"Hello", " there"}) {
		t.Fatalf("got %q and %v", words, err)
	}
}

func TestAStreamWithoutEndIsNeverComplete(t *testing.T) {
	whole := func() []*llmproxyv1.StreamResponse {
		return []*llmproxyv1.StreamResponse{start(), text("Hello"), text(" there"), finish(0)}
	}
	for length := range len(whole()) + 1 {
		answer, err := llmproxy.Read(scripted(whole()[:length]...)).Collect()
		if answer != nil || !errors.Is(err, llmproxy.ErrTruncated) {
			t.Fatalf("cut after %d events: got %v and %v", length, answer, err)
		}
	}
}

func TestEventsOutOfSequenceAreRefused(t *testing.T) {
	for name, sequence := range map[string][]int32{
		"missing first": {1, 2, 3}, "gap": {0, 2, 3}, "twice": {0, 1, 1}, "backwards": {0, 2, 1}, "negative": {-1, 0, 1},
	} {
		stream := scripted(start(), text("Hello"), end())
		for place, event := range stream.events {
			event.Sequence = sequence[place]
		}
		if _, err := llmproxy.Read(stream).Collect(); !errors.Is(err, llmproxy.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNothingMayComeBehindTheEnd(t *testing.T) {
	for _, late := range []*llmproxyv1.StreamResponse{text("more"), end(), heartbeat()} {
		if _, err := llmproxy.Read(scripted(start(), end(), late)).Collect(); !errors.Is(err, llmproxy.ErrMalformed) {
			t.Errorf("%v: %v", late, err)
		}
	}
}

func TestAStatusBehindTheEndStillFailsTheStream(t *testing.T) {
	stream := scripted(start(), end())
	stream.err = status.Error(codes.Internal, "late")
	if _, err := llmproxy.Read(stream).Collect(); status.Code(err) != codes.Internal {
		t.Fatal(err)
	}
}

func TestTheStatusOfABrokenStreamComesBehindItsText(t *testing.T) {
	stream := scripted(start(), text("Hello"))
	stream.err = status.Error(codes.Unavailable, "broken")
	words, err := read(llmproxy.Read(stream))
	if status.Code(err) != codes.Unavailable || !slices.Equal(words, []string{"Hello"}) {
		t.Fatalf("got %q and %v", words, err)
	}
}

func TestAnInbandErrorStandsInForALostStatus(t *testing.T) {
	failed := &llmproxyv1.StreamResponse{Event: &llmproxyv1.StreamResponse_Error{Error: &llmproxyv1.StreamError{
		GrpcCode: int32(codes.Unavailable), Message: "broken",
		Detail: &llmproxyv1.ErrorDetail{Provider: "echo", OutputStarted: true},
	}}}
	_, err := llmproxy.Read(scripted(start(), failed)).Collect()
	story := llmproxy.Details(err)
	if story == nil || story.Code != codes.Unavailable || !story.Detail.GetOutputStarted() {
		t.Fatal(err)
	}
}

func TestAnInbandErrorWithoutACodeIsStillAnError(t *testing.T) {
	failed := &llmproxyv1.StreamResponse{Event: &llmproxyv1.StreamResponse_Error{Error: &llmproxyv1.StreamError{}}}
	if _, err := llmproxy.Read(scripted(failed)).Collect(); status.Code(err) != codes.Unknown {
		t.Fatal(err)
	}
}

func TestLeavingARangeCancelsTheCall(t *testing.T) {
	cancelled := make(chan struct{})
	client := connect(t, endless(cancelled), "host", nil)
	for _, err := range llmproxy.Stream(t.Context(), client, &llmproxyv1.StreamRequest{}).Text() {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	select {
	case <-cancelled:
	case <-time.After(10 * time.Second):
		t.Fatal("the proxy goes on")
	}
}

func TestACollectionThatFailsCancelsTheCall(t *testing.T) {
	cancelled := make(chan struct{})
	proxy := endless(cancelled)
	endlessly := proxy.stream
	proxy.stream = func(r *llmproxyv1.StreamRequest, s grpc.ServerStreamingServer[llmproxyv1.StreamResponse]) error {
		if err := s.Send(&llmproxyv1.StreamResponse{Sequence: 41}); err != nil {
			return err
		}
		return endlessly(r, s)
	}
	_, err := llmproxy.Stream(t.Context(), connect(t, proxy, "host", nil), &llmproxyv1.StreamRequest{}).Collect()
	if !errors.Is(err, llmproxy.ErrMalformed) {
		t.Fatal(err)
	}
	select {
	case <-cancelled:
	case <-time.After(10 * time.Second):
		t.Fatal("the proxy goes on")
	}
}

func TestAStreamThatCannotBeginGivesItsError(t *testing.T) {
	conn, err := llmproxy.Dial("passthrough:///host")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	client := llmproxyv1.NewLlmProxyServiceClient(conn)
	words, err := read(llmproxy.Stream(t.Context(), client, &llmproxyv1.StreamRequest{}))
	if status.Code(err) != codes.Canceled || len(words) != 0 {
		t.Fatalf("got %q and %v", words, err)
	}
}

func TestCollectPutsEveryKindOfPartTogether(t *testing.T) {
	token := delta(&llmproxyv1.ContentDelta{PartIndex: 1, ContinuityToken: []byte("state")})
	stream := scripted(start(),
		reasoning("I ", false), reasoning("think", true),
		textAt(1, "Hel"), textAt(1, "lo"), token,
		toolCall("call-1", "weather", `{"city":`), toolCall("", "", `"Ulm"}`),
		refusal("I will"), refusal(" not"),
		delta(&llmproxyv1.ContentDelta{PartIndex: 4, Delta: &llmproxyv1.ContentDelta_Part{Part: image()}}),
		finish(0), end())
	answer, err := llmproxy.Read(stream).Collect()
	if err != nil {
		t.Fatal(err)
	}
	parts := answer.GetCandidates()[0].GetMessage().GetParts()
	if len(parts) != 5 {
		t.Fatalf("%d parts", len(parts))
	}
	if thought := parts[0].GetReasoning(); thought.GetText() != "I think" || !thought.GetSummary() {
		t.Errorf("reasoning: %v", thought)
	}
	if parts[1].GetText() != "Hello" || string(parts[1].GetContinuityToken()) != "state" {
		t.Errorf("text: %v", parts[1])
	}
	call := parts[2].GetToolCall()
	if call.GetId() != "call-1" || call.GetName() != "weather" || call.GetArgumentsJson() != `{"city":"Ulm"}` {
		t.Errorf("tool call: %v", call)
	}
	if parts[3].GetRefusal() != "I will not" {
		t.Errorf("refusal: %v", parts[3])
	}
	if parts[4].GetImage().GetUri() != "https://example.com/cat.png" {
		t.Errorf("image: %v", parts[4])
	}
}

func TestCollectGivesWhatStartFinishAndEndSay(t *testing.T) {
	sure := delta(&llmproxyv1.ContentDelta{
		Delta:     &llmproxyv1.ContentDelta_Text{Text: "Hi"},
		Logprobs:  []*llmproxyv1.TokenLogprob{{Token: "Hi", Logprob: -0.5}},
		Citations: []*llmproxyv1.Citation{{Uri: "https://example.com"}},
	})
	answer, err := llmproxy.Read(scripted(heartbeat(), start(), sure, finish(0), end())).Collect()
	if err != nil {
		t.Fatal(err)
	}
	candidate := answer.GetCandidates()[0]
	if answer.GetId() != "record-1" || answer.GetModel() != "assistant" || answer.GetRoute().GetProvider() != "echo" {
		t.Errorf("start and route: %v", answer)
	}
	if answer.GetUsage().GetTotalTokens() != 7 {
		t.Errorf("usage: %v", answer.GetUsage())
	}
	if candidate.GetFinishReason() != llmproxyv1.FinishReason_FINISH_REASON_STOP || candidate.GetRawFinishReason() != "stop" {
		t.Errorf("finish: %v", candidate)
	}
	if candidate.GetMessage().GetRole() != llmproxyv1.Role_ROLE_ASSISTANT || len(candidate.GetLogprobs()) != 1 {
		t.Errorf("candidate: %v", candidate)
	}
	if len(candidate.GetMessage().GetParts()[0].GetCitations()) != 1 {
		t.Errorf("citations: %v", candidate)
	}
}

func TestCandidatesThatInterleaveStayApart(t *testing.T) {
	var events []*llmproxyv1.StreamResponse
	for number := range 6 {
		word := text(string(rune('a' + number)))
		word.GetDelta().CandidateIndex = int32(1 - number%2)
		events = append(events, word)
	}
	answer, err := llmproxy.Read(scripted(append(events, finish(1), finish(0), end())...)).Collect()
	if err != nil || len(answer.GetCandidates()) != 2 {
		t.Fatalf("got %v and %v", answer, err)
	}
	for index, expected := range []string{"bdf", "ace"} {
		candidate := answer.GetCandidates()[index]
		got := candidate.GetMessage().GetParts()[0].GetText()
		if candidate.GetIndex() != int32(index) || got != expected {
			t.Errorf("candidate %d says %q", candidate.GetIndex(), got)
		}
	}
}

func TestAPartThatChangesItsKindIsRefused(t *testing.T) {
	whole := func() *llmproxyv1.StreamResponse {
		return delta(&llmproxyv1.ContentDelta{Delta: &llmproxyv1.ContentDelta_Part{Part: image()}})
	}
	for name, events := range map[string][]*llmproxyv1.StreamResponse{
		"reasoning in text": {text("Hello"), reasoning("hm", false), end()},
		"whole after text":  {text("Hello"), whole(), end()},
		"whole twice":       {whole(), whole(), end()},
	} {
		if _, err := llmproxy.Read(scripted(events...)).Collect(); !errors.Is(err, llmproxy.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEventsThatThisClientDoesNotKnowAreIgnored(t *testing.T) {
	unknown := &llmproxyv1.StreamResponse{}
	answer, err := llmproxy.Read(scripted(start(), unknown, text("Hi"), delta(&llmproxyv1.ContentDelta{}), end())).Collect()
	if err != nil || answer.GetCandidates()[0].GetMessage().GetParts()[0].GetText() != "Hi" {
		t.Fatalf("got %v and %v", answer, err)
	}
}

func TestTheServersOwnAnswerIsPreferred(t *testing.T) {
	last := end()
	last.GetEnd().FinalResponse = &llmproxyv1.ChatResponse{Id: "whole"}
	answer, err := llmproxy.Read(scripted(start(), text("Hi"), finish(0), last)).Collect()
	if err != nil || answer.GetId() != "whole" {
		t.Fatalf("got %v and %v", answer, err)
	}
}

func TestAnEmptyAnswerIsAnAnswer(t *testing.T) {
	answer, err := llmproxy.Read(scripted(end())).Collect()
	if err != nil || len(answer.GetCandidates()) != 0 {
		t.Fatalf("got %v and %v", answer, err)
	}
}

func TestALongStreamIsCollectedInLinearTime(t *testing.T) {
	events := make([]*llmproxyv1.StreamResponse, 100_000)
	for number := range events {
		events[number] = text("some words ")
	}
	begin := time.Now()
	answer, err := llmproxy.Read(scripted(append(events, end())...)).Collect()
	if err != nil || answer.GetCandidates()[0].GetMessage().GetParts()[0].GetText() != strings.Repeat("some words ", 100_000) {
		t.Fatal(err)
	}
	// Copying the text with each delta would move 55 GB.
	if took := time.Since(begin); took > 3*time.Second {
		t.Fatalf("took %v", took)
	}
}

// read gives the words of a stream, and how it ended.
func read(events llmproxy.Events) (words []string, _ error) {
	for text, err := range events.Text() {
		if err != nil {
			return words, err
		}
		words = append(words, text)
	}
	return words, nil
}

// endless is a proxy whose stream goes on until the caller leaves.
func endless(cancelled chan<- struct{}) *fake {
	return &fake{stream: func(_ *llmproxyv1.StreamRequest, s grpc.ServerStreamingServer[llmproxyv1.StreamResponse]) error {
		if err := s.Send(text("Hello")); err != nil {
			return err
		}
		<-s.Context().Done()
		close(cancelled)
		return io.EOF
	}}
}

func heartbeat() *llmproxyv1.StreamResponse {
	return &llmproxyv1.StreamResponse{Event: &llmproxyv1.StreamResponse_Heartbeat{Heartbeat: &llmproxyv1.Heartbeat{}}}
}

func textAt(part int32, words string) *llmproxyv1.StreamResponse {
	event := text(words)
	event.GetDelta().PartIndex = part
	return event
}

func reasoning(words string, summary bool) *llmproxyv1.StreamResponse {
	thought := &llmproxyv1.Reasoning{Text: words, Summary: summary}
	return delta(&llmproxyv1.ContentDelta{Delta: &llmproxyv1.ContentDelta_Reasoning{Reasoning: thought}})
}

func toolCall(id, name, arguments string) *llmproxyv1.StreamResponse {
	call := &llmproxyv1.ToolCallDelta{Id: id, Name: name, ArgumentsJson: arguments}
	return delta(&llmproxyv1.ContentDelta{PartIndex: 2, Delta: &llmproxyv1.ContentDelta_ToolCall{ToolCall: call}})
}

func refusal(words string) *llmproxyv1.StreamResponse {
	return delta(&llmproxyv1.ContentDelta{PartIndex: 3, Delta: &llmproxyv1.ContentDelta_Refusal{Refusal: words}})
}

func image() *llmproxyv1.ContentPart {
	return &llmproxyv1.ContentPart{Part: &llmproxyv1.ContentPart_Image{Image: &llmproxyv1.Media{
		Source: &llmproxyv1.Media_Uri{Uri: "https://example.com/cat.png"},
	}}}
}
