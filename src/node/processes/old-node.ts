// The least version of Node. Imports nothing, so that it runs on a Node that cannot load the rest.

const least = 24

/** What to tell the user of a Node that is too old; nothing for one that is not, Bun and Deno. */
export function describeOldNode(versions: NodeJS.ProcessVersions): string | undefined {
  if ('bun' in versions || 'deno' in versions) return undefined
  const { node } = versions
  if (Number.parseInt(node, 10) >= least) return undefined
  return `Graft needs Node ${least} or newer; this is Node ${node} (${process.execPath}). Install Node ${least}, or put it first in PATH.`
}
