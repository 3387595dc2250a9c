// The command `graft` of a checkout, from any folder: `node <checkout>/scripts/graft.mjs <arguments>`.
// Node 20 built-ins only, as scripts/setup.mjs, which it starts.
import { fileURLToPath } from 'node:url'

process.argv.splice(2, 0, fileURLToPath(new URL('../src/cli/main.ts', import.meta.url)))
await import('./setup.mjs')
