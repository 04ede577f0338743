package llmproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"
)

// ErrTruncated says that a stream stopped without its end event: the answer is not complete, whatever the transport said.
var ErrTruncated = errors.New("llmproxy: the stream stopped without an end event")

// ErrMalformed says that the events break the rules of a stream: one is missing, came twice or came behind the end, or
// a part changed its kind.
var ErrMalformed = errors.New("llmproxy: the stream is malformed")

// Events are the events of one stream, in order. The last pair holds the error, if the stream failed: a gRPC status,
// [ErrTruncated] or [ErrMalformed]. A stream without an error was complete.
type Events iter.Seq2[*llmproxyv1.StreamResponse, error]

// Receiver is what the generated stub returns for a stream.
type Receiver interface {
	Recv() (*llmproxyv1.StreamResponse, error)
}

// Stream asks for an answer as a stream. The call begins with the range over it, and it is cancelled when the range is
// left early, so that nobody pays for tokens that nobody reads. Each range is a call of its own.
func Stream(
	ctx context.Context,
	client llmproxyv1.LlmProxyServiceClient,
	request *llmproxyv1.StreamRequest,
	options ...grpc.CallOption,
) Events {
	return func(yield func(*llmproxyv1.StreamResponse, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := client.Stream(ctx, request, options...)
		if err != nil {
			yield(nil, err)
			return
		}
		Read(stream)(yield)
	}
}

// Read gives the checked events of a stream that the bare stub opened. It can be ranged over once. Cancel the stream's
// context when you leave the range early: gRPC goes on receiving otherwise, and the provider goes on charging.
func Read(stream Receiver) Events {
	return func(yield func(*llmproxyv1.StreamResponse, error) bool) {
		var check checker
		for {
			event, err := stream.Recv()
			if err != nil {
				if err = check.stopped(err); err != nil {
					yield(nil, err)
				}
				return
			}
			if err := check.accept(event); err != nil {
				yield(nil, err)
				return
			}
			if !yield(event, nil) {
				return
			}
		}
	}
}

// Text gives the text of the first candidate as it comes, and nothing else of the stream but its error.
func (events Events) Text() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for event, err := range events {
			if err != nil {
				yield("", err)
				return
			}
			delta := event.GetDelta()
			if text := delta.GetText(); text != "" && delta.GetCandidateIndex() == 0 && !yield(text, nil) {
				return
			}
		}
	}
}

// Collect reads the stream to its end and puts the answer together. There is no answer with an error: what arrived until
// then is only seen by ranging over the events.
func (events Events) Collect() (*llmproxyv1.ChatResponse, error) {
	answer := newAnswer()
	for event, err := range events {
		if err != nil {
			return nil, err
		}
		if err := answer.add(event); err != nil {
			return nil, err
		}
	}
	return answer.response(), nil
}

// checker holds what the rules of a stream need to know of the events so far.
type checker struct {
	next   int32
	ended  bool
	failed *llmproxyv1.StreamError
}

func (c *checker) accept(event *llmproxyv1.StreamResponse) error {
	if event.GetSequence() != c.next {
		return fmt.Errorf("%w: event %d came where %d was due", ErrMalformed, event.GetSequence(), c.next)
	}
	if c.ended {
		return fmt.Errorf("%w: event %d came behind the end", ErrMalformed, event.GetSequence())
	}
	c.next++
	c.ended = event.GetEnd() != nil
	c.failed = event.GetError()
	return nil
}

// stopped gives the stream's error, nil if it is complete.
func (c *checker) stopped(err error) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	if c.ended {
		return nil
	}
	if c.failed != nil {
		return inbandError(c.failed)
	}
	return ErrTruncated
}

// inbandError stands in for a status that was lost on the way.
func inbandError(failed *llmproxyv1.StreamError) error {
	code := codes.Code(failed.GetGrpcCode())
	if code == codes.OK {
		code = codes.Unknown
	}
	full := status.New(code, failed.GetMessage())
	if failed.GetDetail() != nil {
		if detailed, err := full.WithDetails(failed.GetDetail()); err == nil {
			full = detailed
		}
	}
	return full.Err()
}
