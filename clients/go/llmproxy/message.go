package llmproxy

import llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"

// Ask makes the simplest request: one model, one user's text.
func Ask(model, prompt string) *llmproxyv1.ChatRequest {
	return &llmproxyv1.ChatRequest{Model: model, Messages: []*llmproxyv1.Message{User(prompt)}}
}

// User makes a message of the end user, of text alone.
func User(text string) *llmproxyv1.Message {
	return message(llmproxyv1.Role_ROLE_USER, text)
}

// System makes a message of instructions, of text alone.
func System(text string) *llmproxyv1.Message {
	return message(llmproxyv1.Role_ROLE_SYSTEM, text)
}

func message(role llmproxyv1.Role, text string) *llmproxyv1.Message {
	return &llmproxyv1.Message{
		Role:  role,
		Parts: []*llmproxyv1.ContentPart{{Part: &llmproxyv1.ContentPart_Text{Text: text}}},
	}
}
