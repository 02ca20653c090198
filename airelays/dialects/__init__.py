"""What clients and servers say, mapped to and from the Responses protocol, as pure functions. Layer: rules."""
