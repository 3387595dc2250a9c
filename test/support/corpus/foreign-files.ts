// Names of the files of mlx-lm's and llama.cpp's adapters in the corpus.

export const mlxConfigFile = 'adapter_config.json'
export const mlxTensorFile = 'adapters.safetensors'
export const ggufFile = 'adapter.gguf'
