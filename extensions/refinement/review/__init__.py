"""What a person sees of the suspects, and what they answer."""
