// The two headers let the page use threads; without them everything runs on one.
const headers = [
  { key: 'Cross-Origin-Opener-Policy', value: 'same-origin' },
  { key: 'Cross-Origin-Embedder-Policy', value: 'require-corp' },
]

export default {
  headers: async () => [{ source: '/:path*', headers }],
  // The library of grammars asks for Node's module `module` where it runs in Node.
  turbopack: { resolveAlias: { module: { browser: './empty.js' } } },
}
