"""Who may talk to the service: certificates, tokens, and what each role may call."""
