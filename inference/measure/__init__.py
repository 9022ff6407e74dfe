"""How an exported model compares with the trained one: agreement, speed, cost of a precision."""
