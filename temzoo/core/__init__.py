"""What all rooms share: data types, whole files, names and suggestions. No Keras, no science."""
