-- A shop as an Active Record application keeps it: bigserial keys, timestamps(6), varchar statuses with a list of values,
-- polymorphic tables, partial and expression indexes, a counter kept by a trigger.

CREATE TABLE public.applied_versions (version character varying NOT NULL PRIMARY KEY);

CREATE TABLE public.app_metadata (
    key character varying NOT NULL PRIMARY KEY,
    value character varying,
    created_at timestamp(6) without time zone NOT NULL,
    updated_at timestamp(6) without time zone NOT NULL
);

CREATE TABLE public.customers (
    id bigserial PRIMARY KEY,
    email character varying NOT NULL,
    encrypted_password character varying DEFAULT ''::character varying NOT NULL,
    reset_token character varying,
    sign_in_count integer DEFAULT 0 NOT NULL,
    orders_count integer DEFAULT 0 NOT NULL,
    locale character varying(5) DEFAULT 'en'::character varying NOT NULL,
    preferences jsonb DEFAULT '{}'::jsonb NOT NULL,
    tags character varying[] DEFAULT '{}'::character varying[] NOT NULL,
    created_at timestamp(6) without time zone NOT NULL,
    updated_at timestamp(6) without time zone NOT NULL,
    CONSTRAINT customers_locale_known CHECK (locale IN ('en', 'de', 'pt-BR', 'ja'))
);
CREATE UNIQUE INDEX ix_customers_by_lower_email ON public.customers (lower(email));
CREATE UNIQUE INDEX ix_customers_by_reset_token ON public.customers (reset_token) WHERE reset_token IS NOT NULL;
CREATE INDEX ix_customers_by_preferences ON public.customers USING gin (preferences jsonb_path_ops);
CREATE INDEX ix_customers_by_tags ON public.customers USING gin (tags);

CREATE TABLE public.categories (
    id bigserial PRIMARY KEY,
    parent_id bigint REFERENCES public.categories (id) ON DELETE CASCADE,
    slug character varying NOT NULL,
    "position" integer DEFAULT 0,
    CONSTRAINT categories_not_own_parent CHECK (parent_id <> id)
);
CREATE UNIQUE INDEX ix_categories_by_parent_id_and_slug ON public.categories (parent_id, slug) NULLS NOT DISTINCT;

CREATE TABLE public.products (
    id bigserial PRIMARY KEY,
    category_id bigint NOT NULL,
    sku character varying(32) NOT NULL,
    title character varying NOT NULL,
    description text,
    price_cents bigint NOT NULL,
    currency character(3) DEFAULT 'EUR'::bpchar NOT NULL,
    state character varying DEFAULT 'draft'::character varying NOT NULL,
    discontinued_on date,
    lock_version integer DEFAULT 0 NOT NULL,
    search tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('simple'::regconfig, coalesce(title, ''::character varying)::text), 'A')
        || setweight(to_tsvector('simple'::regconfig, coalesce(description, '')), 'B')) STORED,
    created_at timestamp(6) without time zone NOT NULL,
    updated_at timestamp(6) without time zone NOT NULL,
    CONSTRAINT products_price_positive CHECK (price_cents > 0),
    CONSTRAINT products_state_known CHECK (state IN ('draft', 'listed', 'sold out', 'it''s gone')),
    CONSTRAINT products_currency_known CHECK (currency IN ('EUR', 'USD', 'JPY')),
    CONSTRAINT products_gone_has_date CHECK (state NOT IN ('sold out', 'it''s gone') OR discontinued_on IS NOT NULL)
);
ALTER TABLE public.products ADD CONSTRAINT products_in_category FOREIGN KEY (category_id) REFERENCES public.categories (id);
CREATE UNIQUE INDEX ix_products_by_sku ON public.products (sku);
CREATE INDEX ix_products_by_category_id ON public.products (category_id);
CREATE INDEX ix_products_by_search ON public.products USING gin (search);
CREATE INDEX ix_products_listed ON public.products (category_id, price_cents DESC NULLS LAST) INCLUDE (title)
    WHERE state IN ('listed', 'sold out');

CREATE SEQUENCE public.invoice_numbers START WITH 100000 INCREMENT BY 1 MINVALUE 100000 MAXVALUE 999999 CACHE 20;
CREATE SEQUENCE public.countdown AS smallint INCREMENT BY -1 START WITH 100 MAXVALUE 100 MINVALUE 0 CYCLE;

CREATE TABLE public.orders (
    id bigserial PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES public.customers (id),
    number bigint DEFAULT nextval('public.invoice_numbers'::regclass) NOT NULL,
    state character varying DEFAULT 'cart'::character varying NOT NULL,
    total_cents bigint DEFAULT 0 NOT NULL,
    placed_at timestamp(6) without time zone,
    CONSTRAINT orders_placed CHECK (state = 'cart' OR placed_at IS NOT NULL)
);
CREATE UNIQUE INDEX ix_orders_by_number ON public.orders (number);
CREATE UNIQUE INDEX ix_orders_one_cart ON public.orders (customer_id) WHERE state = 'cart';

CREATE TABLE public.line_items (
    id bigserial PRIMARY KEY,
    order_id bigint NOT NULL,
    product_id bigint NOT NULL,
    quantity integer DEFAULT 1 NOT NULL CHECK (quantity BETWEEN 1 AND 999),
    price_cents bigint NOT NULL,
    amount_cents bigint GENERATED ALWAYS AS (price_cents * quantity) STORED,
    UNIQUE (order_id, product_id)
);
ALTER TABLE public.line_items ADD CONSTRAINT items_of_order FOREIGN KEY (order_id) REFERENCES public.orders (id) ON DELETE CASCADE;
ALTER TABLE public.line_items ADD CONSTRAINT items_of_product FOREIGN KEY (product_id) REFERENCES public.products (id) NOT VALID;

CREATE TABLE public.attachments (
    id bigserial PRIMARY KEY,
    name character varying NOT NULL,
    record_type character varying NOT NULL,
    record_id bigint NOT NULL,
    blob_key character varying NOT NULL
);
CREATE UNIQUE INDEX ix_attachments_uniqueness ON public.attachments (record_type, record_id, name, blob_key);

CREATE TABLE public.comments (
    id bigserial PRIMARY KEY,
    commentable_type character varying,
    commentable_id bigint,
    body text,
    CONSTRAINT comments_on_known CHECK (commentable_type = ANY (ARRAY['Product'::varchar, 'Order'::varchar, 'Customer'::varchar]))
);
CREATE INDEX ix_comments_by_commentable ON public.comments (commentable_type, commentable_id);

CREATE FUNCTION public.count_orders() RETURNS trigger LANGUAGE plpgsql AS $function$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE customers SET orders_count = orders_count + 1 WHERE id = NEW.customer_id;
    ELSIF TG_OP = 'DELETE' THEN
        UPDATE customers SET orders_count = orders_count - 1 WHERE id = OLD.customer_id;
    END IF;
    RETURN NULL;
END;
$function$;
CREATE TRIGGER orders_counter AFTER INSERT OR DELETE ON public.orders FOR EACH ROW EXECUTE FUNCTION public.count_orders();
CREATE TRIGGER orders_audit AFTER UPDATE OF state ON public.orders FOR EACH ROW
    WHEN (OLD.state IS DISTINCT FROM NEW.state AND NEW.state IN ('paid', 'sent')) EXECUTE FUNCTION public.count_orders();
ALTER TABLE public.orders DISABLE TRIGGER orders_audit;

CREATE VIEW public.open_orders AS
    SELECT o.*, c.email, coalesce(sum(i.amount_cents), 0) AS items_cents
    FROM public.orders o
    JOIN public.customers c ON c.id = o.customer_id
    LEFT JOIN public.line_items i ON i.order_id = o.id
    WHERE o.state IN ('cart', 'placed', 'paid')
    GROUP BY o.id, c.email
    HAVING count(i.*) > 0 OR o.state <> 'cart';

CREATE MATERIALIZED VIEW public.sales_by_month AS
    SELECT date_trunc('month', o.placed_at) AS month, p.category_id, sum(i.amount_cents) AS cents,
           rank() OVER (PARTITION BY date_trunc('month', o.placed_at) ORDER BY sum(i.amount_cents) DESC) AS place
    FROM public.orders o
    JOIN public.line_items i ON i.order_id = o.id
    JOIN public.products p ON p.id = i.product_id
    WHERE o.state NOT IN ('cart', 'cancelled') AND o.placed_at >= '2020-01-01'
    GROUP BY 1, 2;
CREATE UNIQUE INDEX ix_sales_by_month ON public.sales_by_month (month, category_id);

COMMENT ON TABLE public.orders IS 'A cart until it is placed; it''s never deleted after that';
COMMENT ON COLUMN public.orders.number IS 'What the customer calls it';
COMMENT ON INDEX public.ix_orders_one_cart IS 'nobody has two carts';
COMMENT ON CONSTRAINT orders_placed ON public.orders IS 'placed orders know when';
COMMENT ON SEQUENCE public.invoice_numbers IS 'six digits, gaps allowed';
COMMENT ON VIEW public.open_orders IS 'what the warehouse looks at';
COMMENT ON MATERIALIZED VIEW public.sales_by_month IS 'refreshed at night';
