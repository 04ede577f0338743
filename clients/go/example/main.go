// Command example streams one answer to standard output: go run ./example TARGET MODEL PROMPT.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy"
	llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: example TARGET MODEL PROMPT")
		os.Exit(2)
	}
	// Ctrl-C cancels the call, and with it what the provider charges for.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := answer(ctx, os.Args[1], os.Args[2], os.Args[3])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func answer(ctx context.Context, target, model, prompt string) error {
	conn, err := llmproxy.Dial(target)
	if err != nil {
		return err
	}
	defer conn.Close()
	client := llmproxyv1.NewLlmProxyServiceClient(conn)
	request := &llmproxyv1.StreamRequest{Chat: llmproxy.Ask(model, prompt)}
	for text, err := range llmproxy.Stream(ctx, client, request).Text() {
		if story := llmproxy.Details(err); story != nil {
			return story // with reason and wrong fields
		}
		if err != nil {
			return err
		}
		fmt.Print(text)
	}
	fmt.Println()
	return nil
}
