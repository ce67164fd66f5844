"""The policy that needs nothing downloaded: its network, what it sees and understands, and how it writes."""
