// webpack needs modules as output, because ONNX Runtime's files and the worker are found by
// `new URL(…, import.meta.url)`, which it knows.
export default {
  mode: 'production',
  entry: './main.js',
  experiments: { outputModule: true },
  output: { module: true, filename: 'main.js', chunkFormat: 'module', clean: true },
  // The library of grammars asks for Node's module `module` where it runs in Node.
  resolve: { fallback: { module: false } },
}
