"""What planning by a model costs on top of the model: time, CPU, start and memory."""
