package llmproxy

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"
)

// answer is a ChatResponse under construction.
type answer struct {
	start      *llmproxyv1.StreamStart
	end        *llmproxyv1.StreamEnd
	candidates map[int32]*candidate
}

// candidate is one answer under construction; parts may come in any order.
type candidate struct {
	finish   *llmproxyv1.CandidateFinish
	parts    map[int32]*part
	logprobs []*llmproxyv1.TokenLogprob
}

// wholePart is the kind of delta that brings a part in one piece.
var wholePart = reflect.TypeFor[*llmproxyv1.ContentDelta_Part]()

// part is one piece of content under construction; text gathers what its deltas say.
type part struct {
	kind    reflect.Type
	content *llmproxyv1.ContentPart
	text    strings.Builder
}

func newAnswer() *answer {
	return &answer{candidates: map[int32]*candidate{}}
}

func (a *answer) add(event *llmproxyv1.StreamResponse) error {
	switch event := event.GetEvent().(type) {
	case *llmproxyv1.StreamResponse_Start:
		a.start = event.Start
	case *llmproxyv1.StreamResponse_Delta:
		return a.candidate(event.Delta.GetCandidateIndex()).add(event.Delta)
	case *llmproxyv1.StreamResponse_Finish:
		a.candidate(event.Finish.GetCandidateIndex()).finish = event.Finish
	case *llmproxyv1.StreamResponse_End:
		a.end = event.End
	}
	return nil
}

func (a *answer) candidate(index int32) *candidate {
	if a.candidates[index] == nil {
		a.candidates[index] = &candidate{parts: map[int32]*part{}}
	}
	return a.candidates[index]
}

// response gives the answer: the server's own, if the stream's options asked for it.
func (a *answer) response() *llmproxyv1.ChatResponse {
	if final := a.end.GetFinalResponse(); final != nil {
		return final
	}
	response := &llmproxyv1.ChatResponse{
		Id:               a.start.GetId(),
		Model:            a.start.GetModel(),
		CreateTime:       a.start.GetCreateTime(),
		Usage:            a.end.GetUsage(),
		Route:            a.end.GetRoute(),
		Warnings:         a.end.GetWarnings(),
		ProviderMetadata: a.end.GetProviderMetadata(),
	}
	for _, index := range slices.Sorted(maps.Keys(a.candidates)) {
		response.Candidates = append(response.Candidates, a.candidates[index].response(index))
	}
	return response
}

func (c *candidate) add(delta *llmproxyv1.ContentDelta) error {
	c.logprobs = append(c.logprobs, delta.GetLogprobs()...)
	index := delta.GetPartIndex()
	if c.parts[index] == nil {
		c.parts[index] = &part{content: &llmproxyv1.ContentPart{}}
	}
	return c.parts[index].add(delta)
}

func (c *candidate) response(index int32) *llmproxyv1.Candidate {
	message := &llmproxyv1.Message{Role: llmproxyv1.Role_ROLE_ASSISTANT}
	for _, index := range slices.Sorted(maps.Keys(c.parts)) {
		message.Parts = append(message.Parts, c.parts[index].whole())
	}
	return &llmproxyv1.Candidate{
		Index:               index,
		Message:             message,
		FinishReason:        c.finish.GetFinishReason(),
		RawFinishReason:     c.finish.GetRawFinishReason(),
		MatchedStopSequence: c.finish.GetMatchedStopSequence(),
		Logprobs:            c.logprobs,
	}
}

func (p *part) add(delta *llmproxyv1.ContentDelta) error {
	p.content.Citations = append(p.content.Citations, delta.GetCitations()...)
	if token := delta.GetContinuityToken(); len(token) > 0 {
		p.content.ContinuityToken = token
	}
	kind := reflect.TypeOf(delta.GetDelta())
	if kind == nil {
		return nil // a kind of content that this client does not know yet, or none
	}
	if p.kind != nil && (kind != p.kind || kind == wholePart) {
		return fmt.Errorf("%w: part %d changed its kind", ErrMalformed, delta.GetPartIndex())
	}
	p.kind = kind
	p.addContent(delta)
	return nil
}

func (p *part) addContent(delta *llmproxyv1.ContentDelta) {
	switch more := delta.GetDelta().(type) {
	case *llmproxyv1.ContentDelta_Text:
		p.content.Part = &llmproxyv1.ContentPart_Text{}
		p.text.WriteString(more.Text)
	case *llmproxyv1.ContentDelta_Refusal:
		p.content.Part = &llmproxyv1.ContentPart_Refusal{}
		p.text.WriteString(more.Refusal)
	case *llmproxyv1.ContentDelta_Reasoning:
		p.content.Part = &llmproxyv1.ContentPart_Reasoning{Reasoning: &llmproxyv1.Reasoning{
			Redacted: p.content.GetReasoning().GetRedacted() || more.Reasoning.GetRedacted(),
			Summary:  p.content.GetReasoning().GetSummary() || more.Reasoning.GetSummary(),
		}}
		p.text.WriteString(more.Reasoning.GetText())
	case *llmproxyv1.ContentDelta_ToolCall:
		p.content.Part = &llmproxyv1.ContentPart_ToolCall{ToolCall: &llmproxyv1.ToolCall{
			Id:   cmp.Or(p.content.GetToolCall().GetId(), more.ToolCall.GetId()),
			Name: cmp.Or(p.content.GetToolCall().GetName(), more.ToolCall.GetName()),
		}}
		p.text.WriteString(more.ToolCall.GetArgumentsJson())
	case *llmproxyv1.ContentDelta_Part:
		proto.Merge(p.content, more.Part)
	}
}

// whole gives the finished part.
func (p *part) whole() *llmproxyv1.ContentPart {
	if p.kind == wholePart {
		return p.content
	}
	switch content := p.content.GetPart().(type) {
	case *llmproxyv1.ContentPart_Text:
		content.Text = p.text.String()
	case *llmproxyv1.ContentPart_Refusal:
		content.Refusal = p.text.String()
	case *llmproxyv1.ContentPart_Reasoning:
		content.Reasoning.Text = p.text.String()
	case *llmproxyv1.ContentPart_ToolCall:
		content.ToolCall.ArgumentsJson = p.text.String()
	}
	return p.content
}
