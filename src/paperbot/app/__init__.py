"""Wires everything together; the only folder that names concrete sources, engines, stores and observers."""
