import java.nio.file.Path;

import org.antlr.v4.runtime.BaseErrorListener;
import org.antlr.v4.runtime.CharStreams;
import org.antlr.v4.runtime.CommonTokenStream;
import org.antlr.v4.runtime.RecognitionException;
import org.antlr.v4.runtime.Recognizer;
import org.elasticsearch.xpack.esql.parser.EsqlBaseLexer;
import org.elasticsearch.xpack.esql.parser.EsqlBaseParser;

/** Reads files of ES|QL by Elasticsearch's grammar, and prints a line for each thing in them that is no ES|QL. */
public final class EsqlGrammar {
    private EsqlGrammar() {}

    public static void main(String[] files) throws Exception {
        for (String file : files) {
            EsqlBaseLexer lexer = new EsqlBaseLexer(CharStreams.fromPath(Path.of(file)));
            EsqlBaseParser parser = new EsqlBaseParser(new CommonTokenStream(lexer));
            for (Recognizer<?, ?> part : new Recognizer<?, ?>[] { lexer, parser }) {
                part.removeErrorListeners();
                part.addErrorListener(new Complaints(file));
            }
            parser.statements();
        }
    }

    private static final class Complaints extends BaseErrorListener {
        private final String file;

        private Complaints(String file) {
            this.file = file;
        }

        @Override
        public void syntaxError(Recognizer<?, ?> part, Object symbol, int line, int column, String message, RecognitionException why) {
            System.out.println(file + ":" + line + ":" + (column + 1) + ": " + message);
        }
    }
}
