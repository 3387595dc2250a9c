// A server's operation on Node: its state in a folder, experts from allowed folders and those of
// the run before, the log, spans by OpenTelemetry's variables, and access without a key.

import { createWriteStream } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { OptionError } from '../../base/errors.ts'
import { flag, listOf, readOptions, string, type OptionFields } from '../../base/schema.ts'
import {
  keepExperts,
  noPlaces,
  type RestoredExperts,
} from '../../server/experts-allowed/keep-experts.ts'
import { formatLogLine } from '../../server/log/request-log.ts'
import { readTraceSettings } from '../../server/log/trace-settings.ts'
import { createOperations, type Operations } from '../../server/operations/operations.ts'
import { operationFields, type OperationOptions } from '../../server/operations/options.ts'
import { isLoopbackName } from '../../server/origins/check-origin.ts'
import type { Service } from '../../server/service.ts'
import { createMemoryState } from '../../server/state/memory-state.ts'
import type { ServerState } from '../../server/state/server-state.ts'
import type { Environment } from '../models/cache.ts'
import { createAllowedFolders } from './allowed-folders.ts'
import { addProcessMetrics } from './process-metrics.ts'
import { getStateDirectory, openState } from './state/open-state.ts'

export interface ServeOperationOptions extends Omit<OperationOptions, 'keyless'> {
  /** The address that the server listens on. Default 127.0.0.1. */
  readonly host?: string | undefined
  /** Allows another address than loopback without any key. */
  readonly withoutKeys?: boolean | undefined
  /** The folder of keys, usage and loaded experts; 'memory': nothing outlives the process. */
  readonly state?: string | undefined
  /** Folders from which requests may load experts. Default: none. */
  readonly adapterFolders?: readonly string[] | undefined
  /** 'stderr', 'off', or a file to which lines are added. Default stderr. */
  readonly log?: string | undefined
  readonly logPrompts?: boolean | undefined
}

const ownFields = {
  host: string({ filled: true, default: '127.0.0.1', about: 'address to listen on' }),
  withoutKeys: flag({
    default: false,
    about: 'while there is no key, allow every client that can reach the address',
  }),
  state: string({
    filled: true,
    about: 'folder of keys, usage and loaded experts, or "memory" (default: ~/.local/state/graft)',
  }),
  adapterFolders: listOf(string({ filled: true }), {
    default: [],
    about: 'folders from which requests may load experts',
  }),
  log: string({
    filled: true,
    default: 'stderr',
    about: 'where a line of JSON for each request goes: "stderr", "off" or a file',
  }),
  logPrompts: flag({ default: false, about: 'also log the prompts' }),
}
const { keyless: _, ...boundFields } = operationFields
export const serveOperationFields = Object.assign(
  {},
  ownFields,
  boundFields,
) satisfies OptionFields<ServeOperationOptions>

export interface OpenedOperations {
  readonly operations: Operations
  /** The service that requests use. */
  readonly service: Service
  readonly state: ServerState
  /** Experts that an earlier run had loaded. */
  readonly restored: RestoredExperts
  /** The line about keys at the start. */
  readonly access: string
  /** Writes a line about failures behind the requests. */
  readonly onFailure: (what: string, error: unknown) => void
  /** Writes pending data and closes the state. */
  close(): Promise<void>
}

/**
 * Opens everything, or throws and leaves nothing open. OptionError: an address that others can
 * reach, and no key.
 */
export async function openOperations(
  given: Service,
  options: ServeOperationOptions = {},
  environment: Environment = process.env,
): Promise<OpenedOperations> {
  const settings = readOptions('Server options', options, serveOperationFields)
  const { host, withoutKeys, adapterFolders, state: folder } = settings
  const trace = readTraceSettings(environment)
  const places = adapterFolders.length === 0 ? noPlaces : await createAllowedFolders(adapterFolders)
  const state =
    folder === 'memory'
      ? createMemoryState()
      : await openState(folder ?? getStateDirectory(environment))
  try {
    const hasKeys = (await state.keys.list()).length > 0
    const { keyless, text: access } = chooseAccess(host, hasKeys, withoutKeys)
    const log = openLog(settings.log)
    const onFailure = (what: string, error: unknown): void =>
      log.write(describeFailure(what, error))
    const base = await given.describe()
    const { service, restore } = keepExperts(given, {
      places,
      store: state.experts,
      base: base.name,
      now: Date.now,
      onFailure: (error) => onFailure('the loaded experts cannot be recorded', error),
    })
    const restored = await restore()
    for (const { name, error } of restored.skipped)
      onFailure(`the expert ${JSON.stringify(name)} of the run before is not loaded`, error)
    const operations = createOperations(
      {
        service,
        base,
        state,
        clock: { now: Date.now, tick: () => performance.now() },
        random: (count) => randomBytes(count),
        log:
          settings.log === 'off' ? undefined : { write: log.write, prompts: settings.logPrompts },
        trace: trace && Object.assign({ send: fetch }, trace),
        onFailure,
      },
      toOperationOptions(options, keyless),
    )
    addProcessMetrics(operations.metrics.registry)
    const close = async (): Promise<void> => {
      await operations.close()
      await log.end()
      await state.close()
    }
    return { operations, service, state, restored, access, onFailure, close }
  } catch (error) {
    await state.close()
    throw error
  }
}

function toOperationOptions(
  options: ServeOperationOptions,
  keyless: 'loopback' | 'anyone' | 'nobody',
): OperationOptions {
  const given = Object.entries(options).filter(([name]) => name in boundFields)
  return Object.assign(Object.fromEntries(given), { keyless })
}

interface Access {
  readonly keyless: 'loopback' | 'anyone' | 'nobody'
  readonly text: string
}

/** Throws OptionError if others would reach a server without keys, unless that is wanted. */
export function chooseAccess(host: string, hasKeys: boolean, withoutKeys: boolean): Access {
  if (hasKeys) return { keyless: 'nobody', text: 'a key is needed (graft serve keys list)' }
  if (withoutKeys)
    return {
      keyless: 'anyone',
      text: 'open to everybody who can reach it, because there is no key',
    }
  if (isLoopbackName(host))
    return {
      keyless: 'loopback',
      text: 'open to this machine only, because there is no key (graft serve keys add <name>)',
    }
  throw new OptionError(
    `--host ${host}: other machines can reach this address, and there is no key. Make one with graft serve keys add <name>, or give --without-keys to let everybody in.`,
  )
}

/** 'stderr' or a file; failures go there also where requests are not logged. */
function openLog(place: string): { write: (line: string) => void; end: () => Promise<void> } {
  if (place === 'stderr' || place === 'off')
    return {
      write: (line) => void process.stderr.write(`${line}\n`),
      end: async () => undefined,
    }
  const stream = createWriteStream(place, { flags: 'a', mode: 0o600 })
  let isBroken = false
  stream.on('error', (error) => {
    if (!isBroken) process.stderr.write(`${describeFailure('the log cannot be written', error)}\n`)
    isBroken = true
  })
  return {
    write: (line) => void (isBroken || stream.write(`${line}\n`)),
    end: () => new Promise((resolve) => (isBroken ? resolve() : stream.end(resolve))),
  }
}

function describeFailure(what: string, error: unknown): string {
  const { name, message } = error instanceof Error ? error : new Error(String(error))
  const time = new Date().toISOString()
  return formatLogLine({ time, level: 'error', event: 'failure', what, error: { name, message } })
}
