// Lets a thread handle events between runs. ONNX Runtime's WebAssembly computes on the calling
// thread and resolves without returning to the event loop, so generating a text would delay every
// message and click to its end.

import type { Backend, Program } from '../../compute/backend.ts'

/** How long a thread computes before it returns to the event loop. */
const longestMs = 8

/** A backend that returns to the event loop between runs. */
export function createYieldingBackend(backend: Backend): Backend {
  const { port1, port2 } = new MessageChannel()
  const waiting: (() => void)[] = []
  port1.addEventListener('message', () => waiting.shift()?.())
  port1.start()
  let last = performance.now()
  const leave = async (): Promise<void> => {
    if (performance.now() - last < longestMs) return
    await new Promise<void>((resolve) => {
      waiting.push(resolve)
      port2.postMessage(undefined)
    })
    last = performance.now()
  }
  const wrap = (program: Program): Program => ({
    async run(feeds) {
      const outputs = await program.run(feeds)
      await leave()
      return outputs
    },
    dispose: () => program.dispose(),
  })
  const { openGroup } = backend
  return {
    ...backend,
    compile: async (graph, options) => wrap(await backend.compile(graph, options)),
    ...(openGroup && {
      openGroup: () => {
        const group = openGroup()
        return { add: async (members) => (await group.add(members)).map(wrap) }
      },
    }),
  }
}
