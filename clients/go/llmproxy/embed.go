package llmproxy

import llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"

// Inputs makes the simplest request for vectors: one for each text, none of which may be empty.
func Inputs(model string, texts ...string) *llmproxyv1.EmbedRequest {
	request := &llmproxyv1.EmbedRequest{Model: model}
	for _, text := range texts {
		part := &llmproxyv1.ContentPart{Part: &llmproxyv1.ContentPart_Text{Text: text}}
		request.Inputs = append(request.Inputs, part)
	}
	return request
}

// Vectors gives the vectors of an answer, in the order of the inputs.
func Vectors(response *llmproxyv1.EmbedResponse) [][]float32 {
	vectors := make([][]float32, 0, len(response.GetEmbeddings()))
	for _, embedding := range response.GetEmbeddings() {
		vectors = append(vectors, embedding.GetValues())
	}
	return vectors
}

// Count makes the request that says how many tokens a conversation has.
func Count(chat *llmproxyv1.ChatRequest) *llmproxyv1.CountTokensRequest {
	return &llmproxyv1.CountTokensRequest{Chat: chat}
}
