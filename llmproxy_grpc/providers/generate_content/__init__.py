"""Google's generateContent: requests, answers and streams."""
