"""What Kibana shows: `newsroom` says what, `shapes` how Kibana wants it, `build` writes it, `lint` checks it."""
