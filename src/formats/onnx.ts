// ONNX model files: a plain description of a graph in, protobuf bytes out (onnx.proto3, IR version
// 9). Independent of what operators mean.

import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { DType } from '../base/dtype.ts'
import { UnsupportedError } from '../base/errors.ts'
import { type FileTensor, isFileTensor, viewBytes, type Tensor } from '../base/tensor.ts'

export type OnnxAttribute =
  | { int: number }
  | { float: number }
  | { ints: readonly number[] }
  | { string: string }
  | { graph: OnnxBranch }

/** The graph inside a node such as If or Scan: it sees the values of the graph around it. */
export interface OnnxBranch {
  /** What the node hands in at every turn, without shapes. */
  readonly inputs?: readonly Pick<OnnxValue, 'name' | 'dtype'>[]
  readonly nodes: readonly OnnxNode[]
  readonly initializers: ReadonlyMap<string, Tensor>
  /** Without shapes: those of two branches may differ. */
  readonly outputs: readonly Pick<OnnxValue, 'name' | 'dtype'>[]
}

export interface OnnxNode {
  readonly type: string
  readonly domain: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes: Readonly<Record<string, OnnxAttribute>>
}

export interface OnnxValue {
  readonly name: string
  readonly dtype: DType
  readonly shape: readonly (number | string)[]
}

export interface OnnxModel {
  readonly nodes: readonly OnnxNode[]
  readonly initializers: ReadonlyMap<string, Tensor | FileTensor>
  readonly inputs: readonly OnnxValue[]
  readonly outputs: readonly OnnxValue[]
  /** Whether the shapes of inputs and outputs are left out of the file. Default false. */
  readonly isShapeless?: boolean
  /** Operator set versions by domain. */
  readonly opsets: Readonly<Record<string, number>>
}

// TensorProto.DataType
const elementTypes: Partial<Record<DType, number>> = {
  f32: 1,
  u8: 2,
  i8: 3,
  u16: 4,
  i16: 5,
  i32: 6,
  i64: 7,
  bool: 9,
  f16: 10,
  f64: 11,
  u32: 12,
  u64: 13,
  bf16: 16,
}
// AttributeProto.AttributeType
const FLOAT = 1
const INT = 2
const STRING = 3
const GRAPH = 5
const INTS = 7

function getElementType(dtype: DType, name: string): number {
  const type = elementTypes[dtype]
  if (type === undefined)
    throw new UnsupportedError(
      `ONNX value "${name}": element type ${dtype} has no ONNX counterpart.`,
    )
  return type
}

const writeMessage = (writer: BinaryWriter, field: number, bytes: Uint8Array): BinaryWriter =>
  writer.tag(field, WireType.LengthDelimited).bytes(bytes)
const writeString = (writer: BinaryWriter, field: number, value: string): BinaryWriter =>
  writer.tag(field, WireType.LengthDelimited).string(value)
const writeInteger = (writer: BinaryWriter, field: number, value: number): BinaryWriter =>
  writer.tag(field, WireType.Varint).int64(value)

function encodeAttribute(name: string, value: OnnxAttribute): Uint8Array {
  const writer = writeString(new BinaryWriter(), 1, name)
  if ('int' in value) return writeInteger(writeInteger(writer, 3, value.int), 20, INT).finish()
  if ('float' in value)
    return writeInteger(writer.tag(2, WireType.Bit32).float(value.float), 20, FLOAT).finish()
  if ('string' in value)
    return writeInteger(writeString(writer, 4, value.string), 20, STRING).finish()
  if ('graph' in value)
    return writeInteger(writeMessage(writer, 6, encodeBranch(value.graph)), 20, GRAPH).finish()
  for (const item of value.ints) writeInteger(writer, 8, item)
  return writeInteger(writer, 20, INTS).finish()
}

function encodeNode(node: OnnxNode, index: number): Uint8Array {
  const writer = new BinaryWriter()
  for (const name of node.inputs) writeString(writer, 1, name)
  for (const name of node.outputs) writeString(writer, 2, name)
  writeString(writer, 3, `${node.type}_${index}`)
  writeString(writer, 4, node.type)
  for (const [name, value] of Object.entries(node.attributes))
    writeMessage(writer, 5, encodeAttribute(name, value))
  if (node.domain) writeString(writer, 7, node.domain)
  return writer.finish()
}

/** Where the bytes of a tensor are that are not inside the model. */
interface Place {
  readonly location: string
  readonly offsetBytes: number
  readonly sizeBytes: number
}

function findPlace(
  name: string,
  tensor: Tensor | FileTensor,
  isExternal: boolean,
): Place | undefined {
  if (isFileTensor(tensor))
    return {
      location: tensor.file,
      offsetBytes: tensor.offsetBytes,
      sizeBytes: tensor.sizeBytes,
    }
  if (!isExternal) return undefined
  return { location: name, offsetBytes: 0, sizeBytes: viewBytes(tensor).length }
}

function encodeTensor(
  name: string,
  tensor: Tensor | FileTensor,
  isExternal: boolean = false,
): Uint8Array {
  const writer = new BinaryWriter()
  for (const dim of tensor.shape) writeInteger(writer, 1, dim)
  writeInteger(writer, 2, getElementType(tensor.dtype, name))
  writeString(writer, 8, name)
  const place = findPlace(name, tensor, isExternal)
  if (!place) return writeMessage(writer, 9, viewBytes(tensor as Tensor)).finish()
  const EXTERNAL = 1 // TensorProto.DataLocation
  const entries = {
    location: place.location,
    offset: String(place.offsetBytes),
    length: String(place.sizeBytes),
  }
  for (const [key, value] of Object.entries(entries))
    writeMessage(
      writer,
      13,
      writeString(writeString(new BinaryWriter(), 1, key), 2, value).finish(),
    )
  return writeInteger(writer, 14, EXTERNAL).finish()
}

type EncodedValue = Pick<OnnxValue, 'name' | 'dtype'> & Partial<OnnxValue>

function encodeValue({ name, dtype, shape }: EncodedValue): Uint8Array {
  const type = writeInteger(new BinaryWriter(), 1, getElementType(dtype, name))
  if (shape) writeMessage(type, 2, encodeShape(shape))
  const tensorType = type.finish()
  return writeMessage(
    writeString(new BinaryWriter(), 1, name),
    2,
    writeMessage(new BinaryWriter(), 1, tensorType).finish(),
  ).finish()
}

function encodeShape(shape: OnnxValue['shape']): Uint8Array {
  const dims = new BinaryWriter()
  for (const dim of shape)
    writeMessage(
      dims,
      1,
      typeof dim === 'number'
        ? writeInteger(new BinaryWriter(), 1, dim).finish()
        : writeString(new BinaryWriter(), 2, dim).finish(),
    )
  return dims.finish()
}

function encodeBranch({ inputs = [], nodes, initializers, outputs }: OnnxBranch): Uint8Array {
  const graph = new BinaryWriter()
  nodes.forEach((node, index) => writeMessage(graph, 1, encodeNode(node, index)))
  writeString(graph, 2, 'branch')
  for (const [name, tensor] of initializers) writeMessage(graph, 5, encodeTensor(name, tensor))
  for (const value of inputs) writeMessage(graph, 11, encodeValue(value))
  for (const value of outputs) writeMessage(graph, 12, encodeValue(value))
  return graph.finish()
}

/**
 * The bytes of an ONNX model. The bytes of `external` initializers are left out: the model refers
 * to a file that has the initializer's name. Those of file tensors are read by the runtime. Throws
 * UnsupportedError for an element type ONNX does not have.
 */
export function encodeOnnx(
  model: OnnxModel,
  external: ReadonlySet<string> = new Set(),
): Uint8Array {
  const graph = new BinaryWriter()
  model.nodes.forEach((node, index) => writeMessage(graph, 1, encodeNode(node, index)))
  writeString(graph, 2, 'graft')
  for (const [name, tensor] of model.initializers)
    writeMessage(graph, 5, encodeTensor(name, tensor, external.has(name)))
  const toEncoded = ({ name, dtype, shape }: OnnxValue): EncodedValue =>
    model.isShapeless ? { name, dtype } : { name, dtype, shape }
  for (const value of model.inputs) writeMessage(graph, 11, encodeValue(toEncoded(value)))
  for (const value of model.outputs) writeMessage(graph, 12, encodeValue(toEncoded(value)))
  const IR_VERSION = 9 // what ONNX Runtime 1.16 and later read
  const file = writeMessage(writeInteger(new BinaryWriter(), 1, IR_VERSION), 7, graph.finish())
  for (const [domain, version] of Object.entries(model.opsets))
    writeMessage(
      file,
      8,
      writeInteger(writeString(new BinaryWriter(), 1, domain), 2, version).finish(),
    )
  return file.finish()
}
