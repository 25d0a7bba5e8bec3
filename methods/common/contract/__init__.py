"""What a container is handed and what it hands back: the task, its errors, tensor files, a server's answers."""
