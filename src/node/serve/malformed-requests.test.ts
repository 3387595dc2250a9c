import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { answerMalformedRequests } from './malformed-requests.ts'

const times = { requestTimeout: 100, connectionsCheckingInterval: 50 }
const server = createServer(times, (request, response) => {
  if (request.url === '/early') response.write('begun ')
  request.on('error', () => undefined)
  request.on('end', () => response.end('ok'))
  request.resume()
})
answerMalformedRequests(server)
beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)))
afterAll(() => server.close())

/** Sends bytes as they are; resolves with what came until the end. */
function send(text: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = ''
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    socket.on('data', (chunk) => (answer += String(chunk)))
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(answer))
    socket.write(text)
  })
}

describe('what is no request', () => {
  it.each([
    ['no HTTP', 'hello\r\n\r\n', 400],
    ['a TLS greeting', '\u0016\u0003\u0001\u0000\u00a5\u0001\r\n\r\n', 400],
    ['a NUL in a header', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\u0000b\r\n\r\n', 400],
    [
      'two lengths',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc',
      400,
    ],
    [
      'a length and chunks',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['long headers', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(40_000)}\r\n\r\n`, 431],
    ['a body that does not come', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\na', 408],
  ])('%s is an error in the usual shape', async (_, text, status) => {
    const answer = await send(text)
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    const { error } = JSON.parse(answer.slice(answer.indexOf('{')))
    expect(Object.keys(error)).toEqual(['message', 'type', 'param', 'code'])
  })
  it('is not written into an answer that has begun', async () => {
    const answer = await send('POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\na')
    expect(answer).toContain('begun')
    expect(answer).not.toContain('408')
  })
  it('leaves the others alone', async () => {
    expect(await send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')).toContain('ok')
  })
})
