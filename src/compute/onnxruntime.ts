// ONNX Runtime behind the backend contract. The library is passed in (onnxruntime-node or
// onnxruntime-web); nothing else here imports it.

import { UnsupportedError } from '../base/errors.ts'
import { checkOptions, flag, type OptionFields, positiveInteger, record } from '../base/schema.ts'
import type { DType } from '../base/dtype.ts'
import { f32, type Tensor, type TensorData } from '../base/tensor.ts'
import type { OnnxModel } from '../formats/onnx.ts'
import type { Graph } from '../graph/ir.ts'
import { toOutputName, toOnnx } from '../graph/passes/to-onnx.ts'
import type { Backend, CompileOptions, Program } from './backend.ts'
import { cpuDialect, type Dialect, wasmDialect } from './dialect.ts'
import { createNativeSession } from './native-session.ts'
import type { OnnxRuntime, OnnxSession, OnnxTensor } from './onnx-library.ts'
import { createProgramGroup, type FedInput } from './program-group.ts'
import { openInTurn } from './serial-calls.ts'
import { withResidentWeights } from './resident-weights.ts'
import { createWasmSession } from './wasm-session.ts'

export type { OnnxRuntime } from './onnx-library.ts'

export interface OnnxRuntimeOptions {
  /** Threads inside an operator; ONNX Runtime's own choice when absent. */
  readonly threads?: number | undefined
  /** Passed to InferenceSession.create: execution providers, profiling. */
  readonly session?: Readonly<Record<string, unknown>> | undefined
  /**
   * Whether the library runs on WebAssembly's CPU provider. Default: true if onnxruntime-web is
   * loaded, onnxruntime-node is not, and `session` names no execution providers.
   */
  readonly wasm?: boolean | undefined
}

const backendFields = {
  threads: positiveInteger,
  session: record,
  wasm: flag({}),
} satisfies OptionFields<OnnxRuntimeOptions>

const typeNames: Partial<Record<DType, string>> = {
  f32: 'float32',
  f16: 'float16',
  i64: 'int64',
  u8: 'uint8',
  i8: 'int8',
  i32: 'int32',
  bool: 'bool',
}
const dtypes: Readonly<Record<string, DType>> = {
  float32: 'f32',
  int64: 'i64',
  uint8: 'u8',
  int8: 'i8',
  int32: 'i32',
  bool: 'bool',
}

// With patterns on, the second run of a shape allocates one block of all buffers' size, in addition
// to the arena that the first run has filled.
// Our graphs are fused already: ONNX Runtime's own passes over a training graph take up to 2 s, and
// the steps are not faster after them.
const leanSettings = { enableMemPattern: false, graphOptimizationLevel: 'disabled' }

// How long a waiting thread spins before it sleeps. ONNX Runtime's default is longer and not
// faster: it keeps a core busy that other work needs.
const spinSettings = { session: { intra_op: { spin_duration_us: '100' } } }

function chooseDialect({ env }: OnnxRuntime, { wasm, session }: OnnxRuntimeOptions): Dialect {
  const isWasm =
    wasm ??
    (env?.versions?.['web'] !== undefined &&
      env.versions['node'] === undefined &&
      session?.['executionProviders'] === undefined)
  return isWasm ? wasmDialect : cpuDialect
}

function toSettings(
  { threads, session }: OnnxRuntimeOptions,
  { executionProviders, hasSessionThreads }: Dialect,
): Readonly<Record<string, unknown>> {
  // Errors only: warnings name operators of graphs that users never see.
  const settings: Record<string, unknown> = { logSeverityLevel: 3 }
  if (executionProviders) settings['executionProviders'] = executionProviders
  if (hasSessionThreads) {
    settings['extra'] = spinSettings
    if (threads !== undefined) {
      settings['intraOpNumThreads'] = threads
      settings['interOpNumThreads'] = 1
    }
  }
  return { ...settings, ...session }
}

/**
 * Runs graphs on ONNX Runtime. Natively, inputs are passed without a copy. On WebAssembly they are
 * copied into its memory, so base weights are kept there, in f32 where they fit
 * (`withResidentWeights`); `threads` is set by the caller, at `env.wasm.numThreads`. Outputs are
 * fresh arrays. `dialect` lists the capabilities of the platform; default: by the library that is
 * loaded.
 */
export function createOnnxRuntimeBackend(
  runtime: OnnxRuntime,
  options: OnnxRuntimeOptions = {},
  dialect = chooseDialect(runtime, options),
): Backend {
  checkOptions('Backend options', options, backendFields)
  const { backendName, operators, emptyTensors, feedsAreCopied, isSerial, readsFiles } = dialect
  const { hasSessionThreads } = dialect
  const settings = toSettings(options, dialect)
  const wrap = createTensorCache(runtime)
  const open = (
    model: OnnxModel,
    { lean = false, oneThread = false }: CompileOptions = {},
  ): Promise<OnnxSession> => {
    const chosen = {
      ...(lean && leanSettings),
      ...settings,
      ...(oneThread && hasSessionThreads && { intraOpNumThreads: 1, interOpNumThreads: 1 }),
    }
    const create = readsFiles ? createNativeSession : createWasmSession
    const openSession = () => create(runtime, model, chosen)
    return isSerial ? openInTurn(runtime, openSession) : openSession()
  }
  const toFed = emptyTensors ? (_input: FedInput, tensor: Tensor) => tensor : fillEmpty
  const compile = async (graph: Graph, how: CompileOptions = {}): Promise<Program> => {
    const { initializers } = how
    // For each value of a known shape ONNX Runtime searches all buffers that are free by then: 5 s
    // for a training graph of 6,000 nodes. A buffer that it reuses is kept until its last use, so
    // that peaks are higher.
    const isShapeless = how.lean === true
    const model = { ...toOnnx(graph, initializers, operators), isShapeless }
    const session = await open(model, how)
    const inputs = graph.inputs.filter(({ name }) => !initializers?.has(name))
    const outputs = [...graph.outputs.keys()].map((name) => [name, toOutputName(name)] as const)
    return {
      async run(feeds) {
        const fed: Record<string, OnnxTensor> = {}
        for (const input of inputs) {
          const { name } = input
          const tensor = feeds.get(name)
          if (!tensor) throw new UnsupportedError(`Graph input "${name}" was not fed.`)
          fed[name] = wrap(toFed(input, tensor))
        }
        const results = await session.run(fed)
        return new Map(outputs.map(([name, given]) => [name, unwrap(results[given]!)]))
      },
      dispose: () => session.release(),
    }
  }
  const openGroup = () => createProgramGroup({ open, compile, wrap, unwrap, toFed, dialect })
  const backend: Backend = { name: backendName, readsFiles, emptyTensors, compile, openGroup }
  return feedsAreCopied ? withResidentWeights(backend) : backend
}

/** Factors of rank 1 without effect, by the factors of rank 0 that they replace. */
const neutralFactors = new WeakMap<Tensor, Tensor>()

/**
 * Replaces a tensor without elements for platforms where such a tensor ends the process without an
 * error. An adapter's factors of rank 0 become zeros of rank 1, which add nothing either.
 */
function fillEmpty({ name, role }: FedInput, tensor: Tensor): Tensor {
  if (!tensor.shape.includes(0)) return tensor
  if (role === 'adapter' && tensor.dtype === 'f32') {
    const filled = neutralFactors.get(tensor) ?? f32(tensor.shape.map((length) => length || 1))
    neutralFactors.set(tensor, filled)
    return filled
  }
  throw new UnsupportedError(
    `Graph input "${name}": got a tensor of shape [${tensor.shape.join(', ')}], which has no elements; this platform takes none. Feed one that changes nothing.`,
  )
}

/**
 * The library's form of a tensor, kept as long as the tensor lives: weights and adapters are fed
 * again at every run.
 */
function createTensorCache(runtime: OnnxRuntime): (tensor: Tensor) => OnnxTensor {
  const wrapped = new WeakMap<Tensor, OnnxTensor>()
  return (tensor) => {
    const known = wrapped.get(tensor)
    if (known) return known
    const type = typeNames[tensor.dtype]
    if (!type)
      throw new UnsupportedError(
        `ONNX Runtime backend: a tensor of type ${tensor.dtype} cannot be fed; convert it to f32 first.`,
      )
    const made = createOnnxTensor(runtime, type, tensor)
    wrapped.set(tensor, made)
    return made
  }
}

/**
 * The library's class takes f16 bits only where the engine has no Float16Array, or not at all; both
 * libraries read the fields of a plain object.
 */
const createOnnxTensor = (
  { Tensor }: OnnxRuntime,
  type: string,
  { dtype, shape, data }: Tensor,
): OnnxTensor =>
  dtype === 'f16'
    ? { type, dims: shape, data, location: 'cpu' }
    : new Tensor(type as never, data as never, shape)

function unwrap({ type, dims, data }: OnnxTensor): Tensor {
  const dtype = dtypes[type]
  if (!dtype)
    throw new UnsupportedError(`ONNX Runtime backend: an output has the unknown type ${type}.`)
  return { dtype, shape: dims, data: data as TensorData }
}
