"""The hospital's side: acceptor, service class user, query, TLS."""
