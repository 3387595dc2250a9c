// Messages between a page and its engine's worker before the engine is ready. Later messages use
// the ports.

import type { EncodedValue } from '../../runtime/worker/encode-value.ts'
import type { WebFetchProgress } from '../sources/download.ts'

/** From the page, once. */
export interface OpenMessage {
  readonly type: 'graft-open'
  /** A `WebEngineTask`. */
  readonly task: EncodedValue
  readonly port: MessagePort
  /** Set if a learner is requested. */
  readonly learnerPort: MessagePort | undefined
}

/** From the worker, while the model is loaded. */
export type OpeningMessage =
  | { readonly type: 'graft-progress'; readonly progress: WebFetchProgress }
  | { readonly type: 'graft-note'; readonly note: string }
