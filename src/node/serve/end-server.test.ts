import { expect, it } from 'vitest'
import { Lifecycle } from '../../server/health/lifecycle.ts'
import { endServer } from './end-server.ts'

it('waits for requests that it cut to end, so that their usage is written', async () => {
  const lifecycle = new Lifecycle()
  lifecycle.enter()
  let isEnded = false
  const endSoon = (): void => {
    setTimeout(() => {
      isEnded = true
      lifecycle.leave()
    }, 20)
  }
  let onClosed: (() => void) | undefined
  const server = {
    close: (done: () => void) => (onClosed = done),
    closeIdleConnections: () => undefined,
    closeAllConnections: () => {
      endSoon()
      onClosed?.()
    },
  }
  const ended = await endServer(server as never, lifecycle, 5)
  expect(ended).toEqual({ isWhole: false, cutRequests: 1 })
  expect(isEnded).toBe(true)
})
