"""The host of the core: parameters, order of events, replay and digest."""
