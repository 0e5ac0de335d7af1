"""The platform's calls: pure functions that build requests and read replies, and the transport that sends them."""
