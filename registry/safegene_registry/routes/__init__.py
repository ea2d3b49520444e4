"""The endpoints: thin, synchronous where they can be, one transaction each."""
