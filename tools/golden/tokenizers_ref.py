"""The reference tokenizers, made from the vocabulary in a GGUF file. See tests/golden/README.md."""
import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizers import decoders, models, pre_tokenizers

USER_DEFINED, BYTE = 4, 6  # of tokenizer.ggml.token_type


def byte_bpe(meta):
    """SmolLM2's published pipeline: every digit alone, then GPT-2's pattern on byte level."""
    tokens = meta["tokenizer.ggml.tokens"]
    merges = [tuple(m.split(" ")) for m in meta["tokenizer.ggml.merges"]]
    t = tokenizers.Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(tokens)}, merges=merges))
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)])
    t.decoder = decoders.ByteLevel()
    return t


def sentence_piece(meta):
    """Google's sentencepiece on a model file rebuilt from pieces, scores and types."""
    m = proto.ModelProto()
    for piece, score, kind in zip(meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.scores"],
                                  meta["tokenizer.ggml.token_type"]):
        # The converter that wrote the file turned the escaped spaces of user-defined pieces back
        # into spaces; sentencepiece wants them escaped.
        if int(kind) == USER_DEFINED:
            piece = piece.replace(" ", "\u2581")
        m.pieces.add(piece=piece, score=score, type=int(kind))
    m.trainer_spec.model_type = proto.TrainerSpec.BPE
    m.trainer_spec.byte_fallback = any(int(k) == BYTE for k in meta["tokenizer.ggml.token_type"])
    m.trainer_spec.vocab_size = len(m.pieces)
    m.normalizer_spec.name = "identity"
    m.normalizer_spec.add_dummy_prefix = bool(meta.get("tokenizer.ggml.add_space_prefix", True))
    m.normalizer_spec.remove_extra_whitespaces = False
    m.normalizer_spec.escape_whitespaces = True
    return sentencepiece.SentencePieceProcessor(model_proto=m.SerializeToString())
