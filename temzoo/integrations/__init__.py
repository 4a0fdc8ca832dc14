"""What lets other programs use temzoo: a module a program, its library imported when needed."""
