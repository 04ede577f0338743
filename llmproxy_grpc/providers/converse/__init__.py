"""Amazon Bedrock's Converse: requests, answers and streams."""
