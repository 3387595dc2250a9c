// One class per failure that a caller may want to handle. A message has four parts: what failed, on
// which named thing, got and expected, what to do.

const marker = Symbol.for('graftlm.error')

/** Base class of every error Graft throws on purpose. */
export class GraftError extends Error {
  /**
   * Set on the prototype of every class, so that errors of a second loaded copy are recognised too.
   */
  get [marker](): true {
    return true
  }
  override get name(): string {
    return this.constructor.name
  }
  static isInstance(value: unknown): value is GraftError {
    return typeof value === 'object' && value !== null && marker in value
  }
}

/** A file's bytes violate its format: truncated, corrupt, or malicious. */
export class FormatError extends GraftError {}
/**
 * The format is sound but its content is not supported: an architecture, a quantisation, a
 * config key.
 */
export class UnsupportedError extends GraftError {}
/** Shapes of tensors or graph values do not fit together. */
export class ShapeError extends GraftError {}
/** A value contains NaN or infinity where finite numbers are needed. */
export class NumericError extends GraftError {}
/** An option or argument is wrong. */
export class OptionError extends GraftError {}
/**
 * A grammar, a pattern or a schema that cannot constrain an answer, because it is wrong or
 * unsupported. `place` is where it is wrong: 'line 2, column 10', 'character 4',
 * '#/properties/age/type'.
 */
export class GrammarError extends OptionError {
  readonly place: string
  constructor(what: string, place: string, problem: string) {
    super(`${what}: ${place}: ${problem}`)
    this.place = place
  }
}
/** One thing that a schema finds wrong with a value. */
export interface ObjectIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}
/**
 * An answer is not a value of the requested schema: it was cut off, or the schema's own check
 * rejects it.
 */
export class ObjectError extends GraftError {
  /** The answer. */
  readonly text: string
  readonly issues: readonly ObjectIssue[]
  constructor(message: string, text: string, issues: readonly ObjectIssue[]) {
    super(message)
    this.text = text
    this.issues = issues
  }
}
/** Training data cannot be used: invalid JSON in a row, no rows, a row of an unknown format. */
export class DataError extends GraftError {}
/** A file, model or repository was not found; the message lists what was tried. */
export class NotFoundError extends GraftError {}
/** A prompt does not fit into the model's context. */
export class ContextLengthError extends GraftError {}
/** Reading or writing storage failed (full disk, no permission); nothing is left half-written. */
export class StorageError extends GraftError {}
/**
 * Another process wrote the same item in the meantime. Its version is kept, and the caller still
 * has the rejected one.
 */
export class ConflictError extends GraftError {}
/** A signature is not by a trusted key, or the files are not those that were signed. */
export class SignatureError extends GraftError {}
/**
 * A worker or a job's process ended before it answered, because it ran out of memory or an error
 * was not caught. The request was not finished; it can be sent again.
 */
export class WorkerError extends GraftError {}

/** One thing that does not match between a file and what a model or adapter needs. */
export interface Mismatch {
  name: string
  got: string
  expected: string
}

/** Tensors that do not fit a model or an adapter: all of them, in `mismatches`. */
export class MismatchError extends GraftError {
  readonly mismatches: readonly Mismatch[]
  constructor(what: string, mismatches: readonly Mismatch[], advice = '') {
    const shown = mismatches
      .slice(0, 8)
      .map((m) => `  ${m.name}: got ${m.got}, expected ${m.expected}`)
    const more =
      mismatches.length > shown.length
        ? [`  … and ${mismatches.length - shown.length} more, in error.mismatches.`]
        : []
    super(
      [
        `${what} (${mismatches.length} ${mismatches.length === 1 ? 'mismatch' : 'mismatches'}):`,
        ...shown,
        ...more,
        ...(advice ? [advice] : []),
      ].join('\n'),
    )
    this.mismatches = mismatches
  }
}

/** One problem in a manifest: the file, the line if it is known, and the key's path with dots. */
export interface ManifestFault {
  readonly file: string
  readonly line?: number
  readonly key: string
  readonly message: string
}

/** What is wrong in manifests: everything, in `faults`. */
export class ManifestError extends GraftError {
  readonly faults: readonly ManifestFault[]
  constructor(faults: readonly ManifestFault[]) {
    const files = [...new Set(faults.map(({ file }) => file))]
    const shown = faults.map(({ file, line, key, message }) =>
      [`  ${line === undefined ? file : `${file}:${line}`}`, key, message]
        .filter((part) => part !== '')
        .join(': '),
    )
    super(
      [
        `${files.join(', ')}: ${faults.length === 1 ? 'one thing is' : `${faults.length} things are`} wrong:`,
        ...shown,
      ].join('\n'),
    )
    this.faults = faults
  }
}

/** Our own bug: the message starts with `internal:`. */
export function assertInternal(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`internal: ${message}`)
}
