// Binds a server to an address. A port in use gives a clear error.

import type { Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { OptionError } from '../../base/errors.ts'
import { findErrorCode } from '../files/system-errors.ts'

/** Resolves to the address, http://127.0.0.1:8080. Throws OptionError. */
export function listen(server: HttpServer, host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const isTaken = findErrorCode(error) === 'EADDRINUSE'
      const advice = isTaken
        ? 'another program listens there; choose another --port'
        : error.message
      reject(new OptionError(`${host}:${port}: ${advice}.`, { cause: error }))
    })
    server.listen(port, host, () => {
      const { address, port: given, family } = server.address() as AddressInfo
      const name = family === 'IPv6' ? `[${address}]` : address
      resolve(`http://${name}:${given}`)
    })
  })
}
