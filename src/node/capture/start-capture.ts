// The proxy of graft capture over HTTP: listens, passes calls on, appends rows to a file.

import { OptionError } from '../../base/errors.ts'
import { checkOptions } from '../../base/schema.ts'
import { createCapture } from '../../server/capture/create-capture.ts'
import { parseRedaction, parseRedactionPattern } from '../../server/capture/redaction.ts'
import { listen } from '../serve/listen.ts'
import { captureFields, type StartCaptureOptions } from './capture-options.ts'
import { openRowWriter } from './row-writer.ts'

export interface StartedCapture {
  readonly url: string
  close(): Promise<void>
}

function checkUpstream(text: string): string {
  const url = URL.parse(text)
  if (url && ['http:', 'https:'].includes(url.protocol) && !url.username && !url.search)
    return url.href
  // A possible secret is not repeated, even if the text is not an address.
  const got = /[@?]/.test(text) ? 'an address with a user or a query' : JSON.stringify(text)
  throw new OptionError(
    `upstream: got ${got}, expected the address of an OpenAI-compatible server, such as http://127.0.0.1:8080/v1, without a key in it.`,
  )
}

/**
 * Starts the proxy. Throws OptionError for wrong options, StorageError if the file cannot be
 * written.
 */
export async function startCapture(options: StartCaptureOptions): Promise<StartedCapture> {
  checkOptions('startCapture options', options, captureFields)
  const {
    consent = 'ask',
    redact = captureFields.redact.default,
    host = captureFields.host.default,
    port = captureFields.port.default,
  } = options
  const upstream = checkUpstream(options.upstream)
  const rules = [
    ...parseRedaction(redact),
    ...(options.redactPatterns ?? []).map(parseRedactionPattern),
  ]
  const writer = await openRowWriter(options.out)
  const { write } = writer
  const capture = createCapture({ upstream, rules, consent, write, onCall: options.onCall })
  const { createAdaptorServer } = await import('@hono/node-server')
  const http = createAdaptorServer({ fetch: capture.fetch, overrideGlobalObjects: false })
  try {
    const url = await listen(http as Parameters<typeof listen>[0], host, port)
    return {
      url,
      async close() {
        await new Promise<void>((resolve) => {
          http.close(() => resolve())
          setTimeout(
            () => 'closeAllConnections' in http && http.closeAllConnections(),
            2000,
          ).unref()
        })
        await capture.settle()
        await writer.close()
      },
    }
  } catch (error) {
    await writer.close()
    throw error
  }
}
