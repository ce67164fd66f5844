"""What tool and policy see with: one convolutional encoder, run once per picture."""
