// createRouter of graftlm/node: a router's file and a folder of experts may be paths, and a
// sentence encoder is opened by its name.

import { OptionError } from '../../base/errors.ts'
import { describeValue, isRecord } from '../../base/schema.ts'
import { createRouter as create, type CreateRouterOptions } from '../../route/create-router.ts'
import { findEncoderName } from '../../route/features/embedder-settings.ts'
import type { RoutedExpert, Router } from '../../route/router.ts'
import type { RouterFile } from '../../route/router-file.ts'

type Replace<Of, By> = Omit<Of, keyof By> & By

export type CreateRouterFilesOptions = CreateRouterOptions extends infer Each
  ? Each extends CreateRouterOptions
    ? Replace<
        Each,
        (Each extends { readonly file: RouterFile }
          ? { readonly file: RouterFile | string }
          : {
              /**
               * A sentence encoder in place of the base's layers: 'all-minilm-l6-v2',
               * `hf:owner/name` or a folder.
               */
              readonly encoder?: string | undefined
            }) & {
          /** The experts, or a folder of their folders. */
          readonly experts?: readonly RoutedExpert[] | string | undefined
        }
      >
    : never
  : never

/** A router whose `close` also closes the sentence encoder that was opened for it. */
export interface OpenedFileRouter extends Router {
  dispose(): Promise<void>
}

/**
 * As createRouter of graftlm/route, with paths. Also throws NotFoundError, for instance if the
 * sentence encoder cannot be found.
 */
export async function createRouter(options: CreateRouterFilesOptions): Promise<OpenedFileRouter> {
  const { encoder, ...given } = Object.assign({}, options) as Record<string, unknown>
  const { file, experts } = given
  if (typeof file === 'string') {
    const { readRouterFile } = await import('./router-path.ts')
    given['file'] = (await readRouterFile(file)).file
  }
  if (typeof experts === 'string') {
    const { listRoutedExperts } = await import('./list-experts.ts')
    given['experts'] = await listRoutedExperts(experts)
  }
  const name = chooseEncoder(encoder, given)
  if (name === undefined)
    return Object.assign(await create(given as unknown as CreateRouterOptions), {
      dispose: async () => undefined,
    })
  const { openTextEncoder } = await import('./open-encoder.ts')
  const embedder = await openTextEncoder(name)
  try {
    const router = await create(Object.assign(given, { embedder }) as CreateRouterOptions)
    return Object.assign(router, { dispose: () => embedder.dispose() })
  } catch (error) {
    await embedder.dispose()
    throw error
  }
}

/**
 * The requested encoder, or the one in the router's file; the caller's embedder takes precedence.
 */
function chooseEncoder(
  encoder: unknown,
  { file, embedder }: Readonly<Record<string, unknown>>,
): string | undefined {
  if (encoder === undefined)
    return isRecord(file) && embedder === undefined
      ? findEncoderName(file as unknown as RouterFile)
      : undefined
  if (typeof encoder !== 'string' || encoder === '')
    throw new OptionError(
      `Options of createRouter: encoder: got ${describeValue(encoder)}, expected a name or a folder.`,
    )
  if (embedder === undefined && file === undefined) return encoder
  throw new OptionError(
    `Options of createRouter: encoder and ${file === undefined ? 'embedder' : 'file'}: leave out one of them.`,
  )
}
