"""Newsflow's services: one package each, named as its compose service and its consumer group."""
